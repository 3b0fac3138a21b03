"""Dockerfile, compose file and manifests: valid, without needless rights, true to the program."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from insights.cli import app
from insights.service.health import Health
from insights.service.runner import Runner
from insights.site.files import load
from insights.site.settings import HealthSettings
from insights.web.health import routes

ROOT = Path(__file__).resolve().parents[2]
CONTAINER, KUBERNETES = ROOT / "deploy" / "container", ROOT / "deploy" / "kubernetes"
DRAIN_S = 25  # the default of [daemon] drain


def _tool(name: str) -> str:
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs {name}", pytrace=False)
        pytest.skip(f"needs {name}")
    return found


def _manifests() -> list[dict[str, Any]]:
    base = KUBERNETES / "base"
    listed = yaml.safe_load((base / "kustomization.yaml").read_text())["resources"]
    return [found for name in listed for found in yaml.safe_load_all((base / name).read_text())]


def _of(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in _manifests() if each["kind"] == kind}


DEPLOYMENTS = _of("Deployment")


def test_the_dockerfile_has_no_finding() -> None:
    done = subprocess.run(
        [_tool("hadolint"), CONTAINER / "Dockerfile"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_manifests_are_kubernetes_own(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(_manifests()))
    validate = [_tool("kubernetes-validate"), "--strict", str(tmp_path / "all.yaml")]
    done = subprocess.run(validate, check=False, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert said.count(" passed ") == len(_manifests())


def test_every_file_of_the_base_is_in_its_list() -> None:
    listed = yaml.safe_load((KUBERNETES / "base" / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in (KUBERNETES / "base").glob("*.yaml")} - {"kustomization.yaml"}
    assert set(listed) == there


def test_the_cpu_overlay_takes_away_what_is_there() -> None:
    overlay = yaml.safe_load((KUBERNETES / "cpu" / "kustomization.yaml").read_text())
    for patch in overlay["patches"]:
        target: Any = DEPLOYMENTS[patch["target"]["name"]]
        for change in yaml.safe_load(patch["patch"]):
            assert change["op"] == "remove"
            found = target
            for step in change["path"].split("/")[1:]:
                name = step.replace("~1", "/")
                found = found[int(name)] if isinstance(found, list) else found[name]
            assert found


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_a_pod_has_no_right_that_it_does_not_use(name: str) -> None:
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    written = {m["mountPath"] for m in container["volumeMounts"] if not m.get("readOnly")}
    assert written == {"/var/lib/insights", "/tmp"}  # noqa: S108 - a pod's own


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_secrets_are_files_alone(name: str) -> None:
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    assert "secretKeyRef" not in str(pod)
    assert "secretRef" not in str(pod)
    (volume,) = [each["name"] for each in pod["volumes"] if "secret" in each]
    mounts = {m["name"]: m["mountPath"] for m in pod["containers"][0]["volumeMounts"]}
    folder = re.search(r"CREDENTIALS_DIRECTORY=(\S+)", (CONTAINER / "Dockerfile").read_text())
    assert folder is not None
    assert mounts[volume] == folder[1]


@pytest.mark.parametrize("name", sorted(DEPLOYMENTS))
def test_ready_means_that_the_model_has_generated(name: str) -> None:
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "health"}
    (port,) = container["ports"]
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert env["INSIGHTS_HEALTH__LISTEN"] == f"0.0.0.0:{port['containerPort']}"
    assert pod["terminationGracePeriodSeconds"] > DRAIN_S


def test_the_paths_the_port_and_the_command_are_the_programs_own() -> None:
    served = {route.path for route in routes(Health(Runner()))}
    command: Any = typer.main.get_command(app)
    assert "health" in command.commands
    expose = re.search(r"^EXPOSE (\d+)$", (CONTAINER / "Dockerfile").read_text(), re.MULTILINE)
    assert expose is not None
    assert HealthSettings().listen.endswith(f":{expose[1]}")
    for deployment in DEPLOYMENTS.values():
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        for probe in ("readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["path"] in served
        assert str(container["ports"][0]["containerPort"]) == expose[1]


def test_the_deployments_do_all_roles_and_those_that_generate_have_a_gpu() -> None:
    roles = {
        name: set(each["spec"]["template"]["spec"]["containers"][0]["args"][2].split(","))
        for name, each in DEPLOYMENTS.items()
    }
    assert roles == {
        "insights-poll": {"poll", "knowledge", "publish"},
        "insights-enrich": {"enrich"},
    }
    pod = DEPLOYMENTS["insights-enrich"]["spec"]["template"]["spec"]
    assert pod["nodeSelector"] == {"nvidia.com/gpu.present": "true"}
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_budgets_policy_and_volumes_are_about_these_pods() -> None:
    labels = {n: d["spec"]["template"]["metadata"]["labels"] for n, d in DEPLOYMENTS.items()}
    budgets = _of("PodDisruptionBudget")
    assert set(budgets) == set(labels)
    for name, budget in budgets.items():
        assert budget["spec"]["selector"]["matchLabels"] == labels[name]
        least = budget["spec"].get("minAvailable", 0)
        assert DEPLOYMENTS[name]["spec"]["replicas"] > least  # else no node could be drained
    (policy,) = _of("NetworkPolicy").values()
    chosen = policy["spec"]["podSelector"]["matchLabels"].items()
    assert all(chosen <= each.items() for each in labels.values())
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert all(rule.get("to") and rule.get("ports") for rule in policy["spec"]["egress"])
    claims = {
        volume["persistentVolumeClaim"]["claimName"]
        for each in DEPLOYMENTS.values()
        for volume in each["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in volume
    }
    assert claims == set(_of("PersistentVolumeClaim"))


def test_the_image_runs_as_nobody_of_this_host_and_asks_for_its_health() -> None:
    text = (CONTAINER / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert 'CMD ["insights", "health"]' in last
    assert "build-essential" not in last
    ignored = (CONTAINER / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    assert rules[0] == "*"  # what is not named stays out
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for name in line.replace("*", "").split():
            assert f"!{name}" in rules


COMPOSE = yaml.safe_load((CONTAINER / "compose.yaml").read_text())


def test_compose_names_files_and_secrets_that_are_there(tmp_path: Path) -> None:
    shutil.copy(CONTAINER / "secrets.sh", tmp_path)
    subprocess.run([tmp_path / "secrets.sh"], check=True)
    first = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    subprocess.run([tmp_path / "secrets.sh"], check=True)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == first
    assert set(first) == set(COMPOSE["secrets"])
    assert len(set(first.values())) == len(first)
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    for service in COMPOSE["services"].values():
        assert set(service["secrets"]) <= set(COMPOSE["secrets"])
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (CONTAINER / source).exists(), volume
            else:
                assert source in COMPOSE["volumes"]


def test_compose_gives_the_daemon_no_right_that_it_does_not_use() -> None:
    for name in ("daemon", "migrate"):
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert "store_owner_password" not in COMPOSE["services"]["daemon"]["secrets"]
    assert int(COMPOSE["services"]["daemon"]["stop_grace_period"].rstrip("s")) > DRAIN_S


def test_composes_settings_are_settings(tmp_path: Path) -> None:
    shutil.copy(CONTAINER / "settings" / "insights.toml", tmp_path)
    for folder in ("pipelines", "prompts", "schemas"):
        shutil.copytree(ROOT / "demo" / "config" / folder, tmp_path / folder)
    found = load(tmp_path / "insights.toml")
    assert set(found.pipeline) == {"triage"}
    theirs = load(ROOT / "demo" / "config" / "insights.toml").model["helpdesk"].sha256
    assert found.model["helpdesk"].sha256 == theirs
    text = (tmp_path / "insights.toml").read_text()
    named = set(re.findall(r"\$\{(\w+)\}", text))
    assert named <= set(COMPOSE["services"]["daemon"]["secrets"])


@pytest.mark.parametrize("wheel", [False, True])
def test_the_image_installs_the_lock_with_its_hashes(tmp_path: Path, *, wheel: bool) -> None:
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    (tmp_path / "pip").write_text('#!/bin/sh\necho "$@" >>asked\n')
    (tmp_path / "pip").chmod(0o755)
    if wheel:
        (tmp_path / "wheels").mkdir()
        (tmp_path / "wheels" / "llama_cpp_python-1-py3-none-any.whl").touch()
    for what in ("python", "llama"):
        subprocess.run(
            [CONTAINER / "packages.sh", what],
            cwd=tmp_path,
            check=True,
            env={**os.environ, "PIP": "./pip", "TORCH_INDEX": "https://torch.example"},
        )
    lines = (tmp_path / "wanted.txt").read_text().splitlines()
    assert len(lines) > 50
    assert all(" --hash=sha256:" in line for line in lines)
    assert not any(line.startswith(("torch==", "llama")) for line in lines)
    assert "+cpu" in (tmp_path / "torch.txt").read_text().split()[0]
    asked = (tmp_path / "asked").read_text().splitlines()
    assert all(line.startswith("install --no-deps ") for line in asked)
    assert ("--no-index --find-links wheels" in asked[-1]) == wheel
    assert ("--hash" in (tmp_path / "llama.txt").read_text()) != wheel


def test_the_scripts_are_sound() -> None:
    for script in CONTAINER.rglob("*.sh"):
        assert os.access(script, os.X_OK), script
        subprocess.run(["bash", "-n", script], check=True)
