//! The agent as a whole: what is started, in which order, and what ends it.
//!
//! Whatever happens to this process, the kernel goes on forwarding by the decisions it has.

use crate::{
    advertiser,
    binder::{Binder, BinderError},
    config::Config,
    devices::{self, DeviceError},
    flood::Underlay,
    follower::{Follower, Identity},
    learning::{self, Channel, Seal},
    leases::Leases,
    limits::Limiter,
    local_api::{self, SocketError},
    metadata::{self, config::MetadataConfig, device::Device},
    packet_worker::PacketWorker,
    plug::{Plugger, Taps},
    saver,
    shared::Shared,
    state::{StateDir, StateError},
    uplinks::{self, Ways},
    world::World,
};
use datapath::{
    AttachError, Datapath, InjectError, Injector, KernelMaps, Maps, MapsError, Options, StartError,
    Upcalls,
};
use linux::{LinkError, Netlink};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{
    net::lookup_host,
    signal::unix::{SignalKind, signal},
    sync::oneshot,
    task::JoinSet,
    time::sleep,
};

/// Time between two looks at the order of the decision table's classes.
const UPKEEP: Duration = Duration::from_secs(10);

/// Frames of floods by the tunnel that may come up in a second, from all hosts together.
const FLOOD_RATE: u32 = 10_000;

/// Frames of the metadata service that may come up in a second: one for each new source.
const METADATA_RATE: u32 = 10_000;

/// Why the agent ends.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is the error it carries")]
pub enum RunError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("host name: {0}")]
    HostName(#[source] io::Error),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Attach(#[from] AttachError),
    #[error(transparent)]
    Maps(#[from] MapsError),
    #[error(transparent)]
    Inject(#[from] InjectError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Device(#[from] DeviceError),
    #[error(transparent)]
    Metadata(#[from] metadata::device::DeviceError),
    #[error(transparent)]
    Binder(#[from] BinderError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("{what}: {error}")]
    Io {
        what: &'static str,
        #[source]
        error: io::Error,
    },
    #[error(
        "no route to any cluster node to find this host's underlay address by; set host.tunnel_ip"
    )]
    NoTunnelAddress,
    #[error("the upcall thread is dead; see the log before this")]
    WorkerDied,
}

type Tasks = JoinSet<Result<(), RunError>>;

/// Runs until SIGTERM or SIGINT, or until something that only a restart can mend.
pub async fn run(config: Config) -> Result<(), RunError> {
    let state = StateDir::open(&config.host.state_dir)?;
    let _lock = state.lock()?;
    let mut tasks = Tasks::new();
    let (shared, mut died) = start(&config, state, &mut tasks).await?;
    let ended = tokio::select! {
        signal = stop() => signal,
        ended = tasks.join_next() => match ended {
            Some(Ok(result)) => result,
            Some(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            None => Ok(()),
        },
        _ = &mut died => Err(RunError::WorkerDied),
    };
    saver::save(&shared).await?;
    shared.save_contact()?;
    let _ = std::fs::remove_file(&config.api.socket);
    ended
}

/// The order is what makes a restart unnoticed: devices and program, the saved topology, the taps,
/// and only then the upcalls, which have waited in the ring; last those who ask and are told.
async fn start(
    config: &Config,
    state: StateDir,
    tasks: &mut Tasks,
) -> Result<(Arc<Shared<KernelMaps>>, oneshot::Receiver<()>), RunError> {
    let (host, name) = (state.host_id()?, name(config)?);
    let (netlink, events) = Netlink::connect()?;
    let devices = devices::ensure(&netlink, config.datapath.vxlan_port).await?;
    let mut datapath = Datapath::start(&options(config))?;
    let world = World::new(name.clone(), datapath.maps()?);
    let shared = Arc::new(Shared::new(world, state)?);
    shared.world().set_upcall_rate(config.datapath.upcall_rate);
    restore(&shared)?;
    shared.world().set_nat64_pool(config.nat64.pool);
    let nodes = cluster_sockets(config).await;
    let tunnel = tunnel_address(config, &nodes, &shared)?;
    tracing::info!(%host, name, %tunnel, "midonet-agent starts");
    datapath.attach_tunnel(devices.vxlan, tunnel, FLOOD_RATE)?;
    datapath.attach_injection(devices.inject)?;
    datapath.attach_shaper(devices.shaper, devices.shaped)?;

    let (upcalls, reader, mut pools) = (datapath.upcalls()?, datapath.maps()?, datapath.maps()?);
    pools.set_nat64(Some(config.nat64.pool))?;
    let left = datapath.attached_ports()?;
    if let Some(metadata) = &config.metadata {
        let device = Device::make(&netlink).await?;
        datapath.attach_port(device.ifindex, METADATA_RATE)?;
        shared.world().set_metadata_device(device.ifindex);
        tasks.spawn(serve_metadata(
            Arc::clone(&shared),
            metadata.clone(),
            device,
        ));
    }
    let rate = config.datapath.upcall_rate;
    let plugger = Plugger::new(Taps { datapath, rate }, Arc::clone(&shared), left);
    let ways = Ways {
        tunnel,
        cluster: nodes.iter().map(SocketAddr::ip).collect(),
    };
    let limiter = Limiter::new(devices.shaper);
    let binder = Binder::start(Arc::clone(&shared), plugger, limiter, netlink, events, ways);
    let binder = binder.await?;
    tasks.spawn(async move { Err(binder.run().await.into()) });

    let worker = PacketWorker {
        shared: Arc::clone(&shared),
        injector: Injector::open(devices.inject)?,
        underlay: Underlay::open(tunnel, config.datapath.vxlan_port),
    };
    let died = start_worker(worker, upcalls)?;
    let injector = Injector::open(devices.inject)?;
    tasks.spawn(advertise(Arc::clone(&shared), injector));
    tasks.spawn(talk(
        Arc::clone(&shared),
        channel(config, tunnel, devices.inject)?,
    ));
    tasks.spawn(save(Arc::clone(&shared)));
    let leases = Leases::new(Arc::clone(&shared), pools);
    tasks.spawn(async move { Err(leases.run().await.into()) });
    tasks.spawn(upkeep(Arc::clone(&shared)));
    let listener = local_api::listen(&config.api.socket)?;
    let api = local_api::serve(listener, Arc::clone(&shared), reader, host);
    tasks.spawn(async move { api.await.map_err(io_error("local socket")) });

    let secret = config.cluster.secret.reveal().to_owned();
    let identity = Identity {
        host,
        name,
        tunnel,
        zone: config.host.availability_zone.clone().unwrap_or_default(),
        secret,
    };
    let addresses = config.cluster.address.clone();
    let follower = Follower::new(Arc::clone(&shared), identity, addresses);
    tasks.spawn(async move { Err(follower.run().await.into()) });
    Ok((shared, died))
}

/// Removes everything the agent made in the kernel; refused while one runs.
pub async fn teardown(config: &Config) -> Result<(), RunError> {
    let _lock = StateDir::open(&config.host.state_dir)?.lock()?;
    let (netlink, _events) = Netlink::connect()?;
    let datapath = Datapath::start(&options(config))?;
    let attached = datapath.attached_ports()?;
    datapath.remove()?;
    let links = netlink.links().await?.into_iter();
    for link in links.filter(|l| l.promiscuous && attached.contains(&l.index)) {
        uplinks::give_back(&netlink, &link).await;
    }
    devices::remove(&netlink).await?;
    Ok(())
}

fn options(config: &Config) -> Options {
    Options {
        pin_dir: config.datapath.pin_dir.clone(),
        connections: config.datapath.connections,
    }
}

fn name(config: &Config) -> Result<String, RunError> {
    match &config.host.name {
        Some(name) => Ok(name.clone()),
        None => linux::host_name().map_err(RunError::HostName),
    }
}

/// Underlay address of this host: configured, or the one it reaches the cluster from, or the one it
/// had the last time.
fn tunnel_address<M>(
    config: &Config,
    nodes: &[SocketAddr],
    shared: &Shared<M>,
) -> Result<IpAddr, RunError> {
    if let Some(ip) = config.host.tunnel_ip {
        return Ok(ip);
    }
    if let Some(ip) = nodes.iter().find_map(|node| linux::source_for(*node).ok()) {
        return Ok(ip);
    }
    let world = shared.world();
    world
        .snapshot()
        .host(world.host())
        .map(|host| host.tunnel)
        .ok_or(RunError::NoTunnelAddress)
}

/// The sockets of cluster nodes, as far as their names are known now.
async fn cluster_sockets(config: &Config) -> Vec<SocketAddr> {
    let mut sockets = Vec::new();
    for address in &config.cluster.address {
        match lookup_host(address).await {
            Ok(resolved) => sockets.extend(resolved),
            Err(error) => tracing::warn!(cluster = address, %error, "no address"),
        }
    }
    sockets
}

/// A saved topology that cannot be read is as good as none: the cluster has it.
fn restore<M: Maps>(shared: &Shared<M>) -> Result<(), MapsError> {
    match shared.state().topology() {
        Ok(Some(saved)) => {
            tracing::info!(revision = saved.revision, "working by the saved topology");
            shared.world().restore(saved)
        }
        Ok(None) => Ok(()),
        Err(error) => {
            tracing::warn!(%error, "saved topology not used");
            Ok(())
        }
    }
}

/// The receiver is told when the thread is dead, however it died.
fn start_worker(
    worker: PacketWorker<KernelMaps>,
    upcalls: Upcalls,
) -> Result<oneshot::Receiver<()>, RunError> {
    let (alive, died) = oneshot::channel::<()>();
    let work = move || {
        let _alive = alive;
        if let Err(error) = worker.run(upcalls) {
            tracing::error!(%error, "upcalls cannot be read");
        }
    };
    thread::Builder::new()
        .name("upcalls".into())
        .spawn(work)
        .map_err(io_error("upcall thread"))?;
    Ok(died)
}

async fn advertise<M: Maps>(shared: Arc<Shared<M>>, injector: Injector) -> Result<(), RunError> {
    advertiser::run(shared, injector).await;
    Ok(())
}

/// How this agent talks with those of other hosts.
fn channel(config: &Config, tunnel: IpAddr, inject: u32) -> Result<Channel, RunError> {
    let port = config.host.peer_port;
    Ok(Channel {
        socket: learning::open(tunnel, port).map_err(io_error("host.peer_port"))?,
        port,
        seal: Seal::new(config.cluster.secret.reveal()),
        injector: Injector::open(inject)?,
        underlay: Underlay::open(tunnel, config.datapath.vxlan_port),
    })
}

async fn talk<M: Maps>(shared: Arc<Shared<M>>, channel: Channel) -> Result<(), RunError> {
    Err(channel.run(shared).await.into())
}

async fn save<M: Maps + Send + 'static>(shared: Arc<Shared<M>>) -> Result<(), RunError> {
    saver::run(shared).await;
    Ok(())
}

/// Nobody is let in before there is a topology to know them by. The namespace is given up with the
/// service.
async fn serve_metadata<M: Maps + Send + 'static>(
    shared: Arc<Shared<M>>,
    config: MetadataConfig,
    device: Device,
) -> Result<(), RunError> {
    let mut changed = shared.changed.subscribe();
    while !shared.world().is_ready() && changed.changed().await.is_ok() {}
    let listener = device.listen()?;
    match metadata::Service::new(shared, config).serve(listener).await {}
}

async fn upkeep<M: Maps>(shared: Arc<Shared<M>>) -> Result<(), RunError> {
    loop {
        sleep(UPKEEP).await;
        if let Some(table) = shared.world().table_mut() {
            table.reorder()?;
        }
    }
}

async fn stop() -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(io_error("SIGTERM"))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io_error("SIGINT"))?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("asked to end; the kernel forwards on");
    Ok(())
}

fn io_error(what: &'static str) -> impl FnOnce(io::Error) -> RunError {
    move |error| RunError::Io { what, error }
}
