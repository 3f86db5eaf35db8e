//! The Neutron resources: the same verbs for each kind.

use super::{
    Shared,
    answer::{Failure, accepted, check_content_type, id, json, parsed, root},
};
use crate::{
    app::App,
    writer::{Work, WriteError},
};
use api::{
    Violation,
    neutron::{Kind, Resource},
};
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use neutron_model::Request;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// Resources in one bulk request.
const BULK_MAX: usize = 10_000;

type Body = Result<Bytes, BytesRejection>;

/// Collection and single resource of a kind.
pub fn routes(kind: Kind) -> Router<Arc<App>> {
    let collection = format!("/neutron/{}", kind.collection());
    let single = format!("{collection}/{{id}}");
    let list =
        move |State(app): Shared, headers: HeaderMap| async move { list(kind, &app, &headers) };
    let create = move |State(app): Shared, headers: HeaderMap, body: Body| async move {
        create(kind, &app, &headers, body).await
    };
    let one = move |State(app): Shared, Path(id): Path<String>, headers: HeaderMap| async move {
        one(kind, &app, &id, &headers)
    };
    let update = move |State(app): Shared,
                       Path(id): Path<String>,
                       headers: HeaderMap,
                       body: Body| async move {
        update(kind, &app, &id, &headers, body).await
    };
    let delete = move |State(app): Shared, Path(id): Path<String>| async move {
        delete(kind, &app, &id).await
    };
    Router::new()
        .route(&collection, get(list).post(create))
        .route(&single, get(one).put(update).delete(delete))
}

fn list(kind: Kind, app: &App, headers: &HeaderMap) -> Result<Response, Failure> {
    let media = accepted(headers, kind.media_collection())?;
    let all: Vec<Resource> = app.held().state.neutron.list(kind).collect();
    Ok(json(StatusCode::OK, media, &all))
}

fn one(kind: Kind, app: &App, id_text: &str, headers: &HeaderMap) -> Result<Response, Failure> {
    let media = accepted(headers, kind.media())?;
    let id = id(id_text)?;
    let found = app.held().state.neutron.get(kind, id);
    let found = found.ok_or_else(|| Failure::not_found(&format!("{kind} {id}")))?;
    Ok(json(StatusCode::OK, media, &found))
}

async fn create(
    kind: Kind,
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    check_content_type(headers, &[kind.media(), kind.media_collection()])?;
    match parsed(body)? {
        Value::Array(items) => create_all(kind, app, headers, items).await,
        item => create_one(kind, app, headers, item).await,
    }
}

async fn create_one(
    kind: Kind,
    app: &App,
    headers: &HeaderMap,
    item: Value,
) -> Result<Response, Failure> {
    let media = accepted(headers, kind.media())?;
    let resource = Resource::decode(kind, item)?;
    let id = resource.id();
    write(app, vec![Request::Create(resource)]).await?;
    let mut response = json(StatusCode::CREATED, media, &current(app, kind, id)?);
    let address = format!("{}/neutron/{}/{id}", root(headers), kind.collection());
    if let Ok(address) = HeaderValue::from_str(&address) {
        response.headers_mut().insert(header::LOCATION, address);
    }
    Ok(response)
}

async fn create_all(
    kind: Kind,
    app: &App,
    headers: &HeaderMap,
    items: Vec<Value>,
) -> Result<Response, Failure> {
    let media = accepted(headers, kind.media_collection())?;
    if items.len() > BULK_MAX {
        let message = format!("at most {BULK_MAX} resources in one request");
        return Err(Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    let mut requests = Vec::with_capacity(items.len());
    let mut ids = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let resource = Resource::decode(kind, item);
        let resource = resource.map_err(|shape| Failure::from(shape).at(index))?;
        ids.push(resource.id());
        requests.push(Request::Create(resource));
    }
    write(app, requests).await?;
    let all: Vec<Resource> = ids
        .into_iter()
        .map(|id| current(app, kind, id))
        .collect::<Result<_, _>>()?;
    Ok(json(StatusCode::CREATED, media, &all))
}

async fn update(
    kind: Kind,
    app: &App,
    id_text: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    check_content_type(headers, &[kind.media()])?;
    let media = accepted(headers, kind.media())?;
    let id = id(id_text)?;
    let resource = Resource::decode(kind, with_id(parsed(body)?, id)?)?;
    write(app, vec![Request::Update(resource)]).await?;
    Ok(json(StatusCode::OK, media, &current(app, kind, id)?))
}

async fn delete(kind: Kind, app: &App, id_text: &str) -> Result<Response, Failure> {
    write(app, vec![Request::Delete(kind, id(id_text)?)]).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Writes requests; a refusal of one of several says which.
pub async fn write(app: &App, requests: Vec<Request>) -> Result<(), Failure> {
    let many = requests.len() > 1;
    let about = describe_all(&requests);
    match app.writer.write(Work::Neutron(requests)).await {
        Ok(revision) => {
            tracing::info!(request = about, revision, "done");
            Ok(())
        }
        Err(error) => {
            tracing::warn!(request = about, %error, "refused");
            let index = match &error {
                WriteError::Refused { index, .. } => Some(*index).filter(|_| many),
                _ => None,
            };
            let failure = Failure::from(error);
            Err(match index {
                Some(index) => failure.at(index),
                None => failure,
            })
        }
    }
}

fn describe_all(requests: &[Request]) -> String {
    match requests {
        [] => "nothing".to_owned(),
        [one] => describe(one),
        [first, rest @ ..] => format!("{} and {} more", describe(first), rest.len()),
    }
}

fn describe(request: &Request) -> String {
    match request {
        Request::Create(resource) => format!("create {} {}", resource.kind(), resource.id()),
        Request::Update(resource) => format!("update {} {}", resource.kind(), resource.id()),
        Request::Delete(kind, id) => format!("delete {kind} {id}"),
        Request::AddInterface { router, port } => format!("add port {port} to router {router}"),
        Request::RemoveInterface { router, port } => {
            format!("remove port {port} from router {router}")
        }
    }
}

/// What is held now. Another request may have deleted it meanwhile.
fn current(app: &App, kind: Kind, id: Uuid) -> Result<Resource, Failure> {
    let found = app.held().state.neutron.get(kind, id);
    found.ok_or_else(|| Failure::not_found(&format!("{kind} {id}")))
}

/// The body need not repeat the id of the address, but must not contradict it.
fn with_id(mut body: Value, id: Uuid) -> Result<Value, Failure> {
    let Some(fields) = body.as_object_mut() else {
        return Ok(body);
    };
    let text = Value::String(id.to_string());
    match fields.get("id") {
        None | Some(Value::Null) => {
            fields.insert("id".to_owned(), text);
        }
        Some(Value::String(given)) if given.parse() == Ok(id) => {}
        Some(_) => {
            let message = "differs from the id in the address".to_owned();
            return Err(api::Shape::Field(Violation {
                property: "id".to_owned(),
                message,
            })
            .into());
        }
    }
    Ok(body)
}
