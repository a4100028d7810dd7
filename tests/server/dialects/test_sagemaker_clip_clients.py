"""boto3's own client of SageMaker's runtime, over a real socket."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.server.dialects.serving import KEY, sample, serving, settings_of

BODY = {"images": [base64.b64encode(sample(101)).decode()], "classes": [["cat", 1], ["dog", 0]]}


@contextmanager
def connected(url: str, key: str = KEY) -> Iterator[Any]:
    client = boto3.client(
        "sagemaker-runtime",
        region_name="us-east-1",
        endpoint_url=url,
        aws_access_key_id=key,
        aws_secret_access_key="unused",
        config=Config(retries={"max_attempts": 1}),
    )
    try:
        yield client
    finally:
        client.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving("sagemaker-clip", settings_of("sagemaker-clip", api_keys=(KEY,))) as running:
        yield running


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    with connected(url) as made:
        yield made


def invoke(client: Any, body: Any = BODY, **more: Any) -> Any:
    packed = body if isinstance(body, bytes) else json.dumps(body)
    return client.invoke_endpoint(EndpointName="clip", ContentType="application/json", Body=packed, **more)


def refused(client: Any, body: Any = BODY, **more: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as caught:
        invoke(client, body, **more)
    return dict(caught.value.response)


def test_an_endpoint_answers_with_its_variant_and_the_callers_attributes(client: Any) -> None:
    answered = invoke(client, CustomAttributes="trace=7", Accept="application/json")
    (image,) = json.loads(answered["Body"].read())
    assert image["prompts"][1] == ["cat", "dog"] and image["classification"] == 1
    assert answered["InvokedProductionVariant"] == "AllTraffic"
    assert answered["CustomAttributes"] == "trace=7"
    assert answered["ContentType"] == "application/json"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"images": ["bm8gcGljdHVyZQ=="], "classes": [["cat", 1]]}, "no known picture format"),
        ({"images": BODY["images"]}, "classes must be a list"),
        (b"{", "no JSON"),
    ],
)
def test_the_containers_refusals_come_as_model_errors(client: Any, body: Any, words: str) -> None:
    error = refused(client, body)
    assert error["Error"]["Code"] == "ModelError"
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert error["OriginalStatusCode"] == 400 and words in error["OriginalMessage"]
    assert words in error["Error"]["Message"]


def test_another_content_type_is_a_model_error_with_the_containers_words(client: Any) -> None:
    with pytest.raises(client.exceptions.ModelError) as caught:
        client.invoke_endpoint(EndpointName="clip", ContentType="text/csv", Body=b"1,2")
    assert "Request should be application/json" in caught.value.response["OriginalMessage"]


def test_a_wrong_key_is_access_denied(url: str) -> None:
    with connected(url, "wrong") as client:
        error = refused(client)
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("AccessDeniedException", 403)


def test_a_full_queue_is_service_unavailable() -> None:
    with serving("sagemaker-clip", settings_of("sagemaker-clip", max_queue=0)) as url, connected(url) as client:
        error = refused(client)
    assert error["Error"]["Code"] == "ServiceUnavailable"
    assert error["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"


def test_a_body_over_6_mib_is_413(client: Any) -> None:
    error = refused(client, b"x" * (6 * 2**20 + 1))
    assert (error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]) == ("413", 413)


def test_asynchronous_invocations_are_refused_by_name(client: Any) -> None:
    with pytest.raises(ClientError) as caught:
        client.invoke_endpoint_async(EndpointName="clip", InputLocation="s3://bucket/body.json")
    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert "S3" in caught.value.response["Error"]["Message"]


def test_attributes_that_sagemaker_would_not_pass_are_refused(client: Any) -> None:
    assert refused(client, CustomAttributes="x" * 1025)["Error"]["Code"] == "ValidationError"
