"""Jobs as the command line looks at them: whatever their owners published, since anybody may create one."""

from __future__ import annotations

from domicile.errors import PeerError, StoreFault
from domicile.exchange import fetch_spec
from domicile.history import JobHistory
from domicile.models import JobModels, open_job_models
from domicile.spec import JobSpec
from domicile.storage.store import Opening, open_store
from domicile.types import Address, JobId
from scripts.access import Access
from scripts.observing import Observer


def name_of(network: Access, job: JobId) -> tuple[str, str | None]:
    """A job's name, or an empty one and why its specification does not tell."""
    spec, problem = spec_of(network, job)
    return "" if spec is None else spec.name, problem


def spec_of(network: Access, job: JobId) -> tuple[JobSpec | None, str | None]:
    """A job's specification, or why it cannot be had."""
    if "border" not in network.settings.stores:
        return None, "no border store named, so no name"
    try:
        border = open_store(network.border, Opening.IN_PLACE)
        return fetch_spec(border, network.jobs.parameters_of(job).spec), None
    except (PeerError, StoreFault) as exc:
        return None, str(exc)


def observer_of(network: Access, number: int) -> Observer:
    """Sees what everybody can see of a job.

    Raises:
        ConfigurationError: there is no such job.
    """
    job = network.known_job(number)
    spec, problem = spec_of(network, job)
    names = {Address(address): label for address, label in network.settings.names.items()}
    told = f"({problem})" if spec is None else spec.name
    observer = Observer(network.chain, network.deployment, job, told, names, gas_since_creation=True)
    observer.spec = spec
    return observer


def models_of(network: Access, history: JobHistory) -> JobModels:
    """The job's models, for the holder of the keys that the access file names."""
    party = network.party()
    spec = fetch_spec(party.border, history.created.parameters.spec)
    return open_job_models(party, history.created.job, history, spec)
