"""All tables of this package, for tools that compare them with the migrations."""

from neutron_lib.db import model_base

from midonet.neutron.db import models  # noqa: F401

metadata = model_base.BASEV2.metadata
