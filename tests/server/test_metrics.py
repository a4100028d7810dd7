"""What Prometheus reads, over a real socket, with Prometheus' own parser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from tests.server.listening import ask, get, on_a_port
from visioncli.server.access import Exchange, observed
from visioncli.server.metrics import Metrics, with_metrics
from visioncli.server.service import Service
from visioncli.server.settings import ServeSettings

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]
DIALECT = "sagemaker-clip"


def app() -> FastAPI:
    api = FastAPI()

    @api.get("/jobs/{job_id}")
    async def job(job_id: str) -> str:
        return job_id

    return api


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(Service(ServeSettings(models={(DIALECT, "classify"): "demo"})), [DIALECT])


@pytest.fixture
def url(metrics: Metrics) -> Iterator[str]:
    with on_a_port(observed(with_metrics(app(), metrics), "toy", [metrics.saw])) as address:
        yield address


def scraped(url: str) -> Samples:
    """Name and sorted labels -> value."""
    families = text_string_to_metric_families(get(f"{url}/metrics").text)
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for family in families for one in family.samples}


def counted(samples: Samples) -> dict[tuple[str, str, str], float]:
    """Method, route and status -> requests."""
    found = {labels: value for (name, labels), value in samples.items() if name == "visioncli_requests_total"}
    return {(dict(key)["method"], dict(key)["route"], dict(key)["status"]): value for key, value in found.items()}


def test_requests_are_counted_by_route_never_by_path(url: str) -> None:
    for number in range(3):
        get(f"{url}/jobs/{number}")
        get(f"{url}/nowhere/{number}")
    ask("POST", f"{url}/jobs/1")
    assert counted(scraped(url)) == {
        ("GET", "/jobs/{job_id}", "200"): 3,
        ("GET", "(none)", "404"): 3,
        ("POST", "/jobs/{job_id}", "405"): 1,
    }


def test_the_metrics_themselves_are_a_route_and_other_methods_go_to_the_app(url: str) -> None:
    assert get(f"{url}/metrics").headers["content-type"] == "text/plain; version=1.0.0; charset=utf-8"
    assert ask("HEAD", f"{url}/metrics").content == b""
    assert ask("POST", f"{url}/metrics").status_code == 404
    assert counted(scraped(url)) == {
        ("GET", "/metrics", "200"): 1,
        ("HEAD", "/metrics", "200"): 1,
        ("POST", "(none)", "404"): 1,
    }


def test_unheard_of_methods_are_one(metrics: Metrics, url: str) -> None:
    for method in ("BREW", "WHEN", "PROPFIND"):
        metrics.saw(Exchange("", "toy", method, "/", "", "/", 405))
    assert counted(scraped(url)) == {("OTHER", "/", "405"): 3}


def test_seconds_are_a_histogram_by_route(metrics: Metrics, url: str) -> None:
    for seconds in (0.004, 0.2, 700.0):
        metrics.saw(Exchange("", "toy", "GET", "/", "", "/", 200, seconds=seconds))
    samples, labels = scraped(url), (("api", "toy"), ("route", "/"))
    assert samples["visioncli_request_seconds_count", labels] == 3
    assert samples["visioncli_request_seconds_sum", labels] == pytest.approx(700.204)
    within = {
        le: samples["visioncli_request_seconds_bucket", (labels[0], ("le", le), labels[1])]
        for le in ("0.005", "0.25", "600.0")
    }
    assert within == {"0.005": 1, "0.25": 2, "600.0": 2}


def test_forward_passes_are_counted_through_the_services_seam(metrics: Metrics, url: str) -> None:
    metrics.ran("cpu", 3, 0.25)
    metrics.ran("cpu", 8, 0.5)
    samples, device = scraped(url), (("device", "cpu"),)
    assert samples["visioncli_device_seconds_total", device] == 0.75
    assert samples["visioncli_batch_size_sum", device] == 11
    assert samples["visioncli_batch_size_count", device] == 2
    assert samples["visioncli_batch_size_bucket", (("device", "cpu"), ("le", "4.0"))] == 1


def test_what_stands_is_asked_when_somebody_looks(url: str) -> None:
    samples = scraped(url)
    assert samples["visioncli_ready", ()] == 0
    assert samples["visioncli_queue_depth", (("api", DIALECT),)] == 0
    labels = (("api", DIALECT), ("model", "demo"), ("role", "classify"))
    assert samples["visioncli_model_loaded", labels] == 0
    assert samples["process_resident_memory_bytes", ()] > 10_000_000
