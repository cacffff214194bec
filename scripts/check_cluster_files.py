"""Holds the cluster files under examples/ against the schemas of the programs that read them.

Run in an environment of its own: pip install skypilot kubernetes-validate, then
python scripts/check_cluster_files.py [--crd FILE]

SkyPilot's file is read by SkyPilot itself. Of KubeRay's the pods of head and workers are held
against the schema of Kubernetes, and with ``--crd`` the whole against KubeRay's own definition of a
RayJob (``ray.io_rayjobs.yaml`` in its Helm chart).
"""

import argparse
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).parents[1] / "examples"
KUBERNETES = "1.31"


def main() -> None:
    """Check both files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crd", type=Path, help="KubeRay's definition of a RayJob")
    options = parser.parse_args()
    job = yaml.safe_load((EXAMPLES / "kuberay" / "run.yaml").read_text(encoding="utf-8"))
    check_pods(job)
    if options.crd is not None:
        check_job(job, options.crd)
    check_skypilot(EXAMPLES / "skypilot" / "generate.yaml")


def check_pods(job: dict[str, Any]) -> None:
    """Hold the pods of a RayJob against the schema of Kubernetes, unknown fields refused."""
    import kubernetes_validate

    cluster = job["spec"]["rayClusterSpec"]
    groups = {"head": cluster["headGroupSpec"]}
    groups |= {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    for name, group in groups.items():
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, **group["template"]}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        print(f"kuberay: the pod of {name} is one of Kubernetes {KUBERNETES}")


def check_job(job: dict[str, Any], crd: Path) -> None:
    """Hold a RayJob against KubeRay's own definition, unknown fields refused."""
    from jsonschema import Draft202012Validator

    definition = yaml.safe_load(crd.read_text(encoding="utf-8"))
    (version,) = [
        one for one in definition["spec"]["versions"] if job["apiVersion"].endswith(one["name"])
    ]
    schema = closed(version["schema"]["openAPIV3Schema"])
    Draft202012Validator(schema).validate(job)
    print(f"kuberay: the job is a {definition['spec']['names']['kind']} of {crd.name}")


def closed(schema: Any) -> Any:
    """Returns a schema whose objects take no fields but those that it names."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(part) for name, part in schema.items()}
    names = inner.get("properties")
    if isinstance(names, dict) and "additionalProperties" not in inner and "metadata" not in names:
        inner["additionalProperties"] = False
    return inner


def check_skypilot(path: Path) -> None:
    """Have SkyPilot read its file."""
    import sky

    task = sky.Task.from_yaml(str(path))
    print(f"skypilot: {path.name} is a task on {task.num_nodes} nodes")


if __name__ == "__main__":
    main()
