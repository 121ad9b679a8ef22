"""The files of docs/containers.md: their form, and that they agree with one another and with what we write.

Without a cluster that is all that can be said of them. Where the package `kubernetes-validate` is installed,
Kubernetes' own schema is asked, too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from zoo import registry, serving

PAGES = Path(__file__).parents[2] / "docs"
DNS_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
QUANTITY = r"\d+(\.\d+)?(m|Ki|Mi|Gi)?"


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    text = (PAGES / "containers.md").read_text(encoding="utf-8")
    return dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', text, flags=re.DOTALL))


@pytest.fixture(scope="module")
def objects(files) -> dict[str, dict]:
    """The objects for Kubernetes by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all(files["kubernetes.yaml"])}


@pytest.fixture(scope="module")
def pod(objects) -> dict:
    return objects["Deployment"]["spec"]["template"]


@pytest.fixture(scope="module")
def command(files) -> list[str]:
    """What the image runs."""
    words = re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", files["Dockerfile"], flags=re.MULTILINE)
    return [word for line in words for word in json.loads(line)]


def flags(command: list[str]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in command[1:])


def test_pages_pin_the_server_that_the_shipped_models_need():
    shipped = [serving.find(f"{folder}/") for folder in registry.SHIPPED.iterdir() if (folder / "1").is_dir()]
    needed = serving.release(serving.needed_release(shipped))
    tags = [
        tag
        for page in ("deploy.md", "containers.md")
        for tag in re.findall(r"tensorflow/serving:(\d[\w.]*)", (PAGES / page).read_text(encoding="utf-8"))
    ]
    assert len(tags) >= 2
    assert all(serving.release(tag) >= needed for tag in tags)
    for page in ("deploy.md", "containers.md"):
        assert not re.search(r"tensorflow/serving(?![:\w])(?!`)", (PAGES / page).read_text(encoding="utf-8"))


def test_the_image_runs_the_server_on_the_files_that_are_written(command, files):
    assert command[0] == serving.SERVER
    found = flags(command)
    assert (found.pop("port"), found.pop("rest_api_port")) == ("8500", "8501")
    told = [f"--{name}={value}" for name, value in found.items()]
    assert told == serving.arguments(serving.MODELS_INSIDE, batching=True)
    assert f"COPY serving {serving.MODELS_INSIDE}\n" in files["Dockerfile"]
    assert re.search(r"^EXPOSE 8500 8501$", files["Dockerfile"], flags=re.MULTILINE)


def test_kubernetes_objects_agree(objects, pod):
    deployment, service = objects["Deployment"], objects["Service"]
    assert (deployment["apiVersion"], service["apiVersion"]) == ("apps/v1", "v1")
    for each in objects.values():
        assert re.fullmatch(DNS_LABEL, each["metadata"]["name"])
    labels = pod["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    (container,) = pod["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {"grpc": 8500, "http": 8501}
    for each in service["spec"]["ports"]:
        assert ports[each["targetPort"]] == each["port"]
    assert not container["image"].endswith(":latest") and ":" in container["image"]
    for side in container["resources"].values():
        assert all(re.fullmatch(QUANTITY, value) for value in side.values())


def test_probes_ask_what_the_server_answers(pod):
    (container,) = pod["spec"]["containers"]
    ports = {each["name"] for each in container["ports"]}
    probes = {name: probe for name, probe in container.items() if name.endswith("Probe")}
    assert probes.keys() == {"startupProbe", "readinessProbe", "livenessProbe"}
    for probe in probes.values():
        (kind,) = probe.keys() & {"httpGet", "tcpSocket"}
        assert probe[kind]["port"] in ports
        assert probe.get("timeoutSeconds", 1) <= probe["periodSeconds"]
        assert all(isinstance(value, int) for key, value in probe.items() if key not in (kind,))
        if kind == "httpGet":
            assert re.fullmatch(r"/v1/models/vae(/metadata)?", probe[kind]["path"])


@pytest.mark.xdist_group("servicer")
def test_the_paths_of_the_probes_answer(served, pod):
    import urllib.request

    (container,) = pod["spec"]["containers"]
    for name in ("startupProbe", "readinessProbe"):
        url = f"http://localhost:{served[0]}{container[name]['httpGet']['path']}"
        with urllib.request.urlopen(url, timeout=60) as reply:
            assert reply.status == 200


def test_cloud_run_s_file(files):
    service = yaml.safe_load(files["cloud-run.yaml"])
    assert (service["apiVersion"], service["kind"]) == ("serving.knative.dev/v1", "Service")
    assert re.fullmatch(DNS_LABEL, service["metadata"]["name"])
    template = service["spec"]["template"]
    assert all(isinstance(value, str) for value in template["metadata"]["annotations"].values())
    (container,) = template["spec"]["containers"]
    (port,) = container["ports"]
    assert (port["name"], port["containerPort"]) == ("http1", 8501)
    probe = container["startupProbe"]
    assert probe["httpGet"] == {"path": "/v1/models/vae", "port": 8501}
    # What it allows a container to take until it listens.
    assert probe["periodSeconds"] * probe["failureThreshold"] <= 240
    assert re.fullmatch(QUANTITY, container["resources"]["limits"]["memory"])


def test_kubernetes_schema(objects):
    validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for each in objects.values():
        validate.validate(each, validate.latest_version(), strict=True)
