"""Holds manifests against their schemas.

usage: schemas.py CLOUD_INIT_SCHEMA FOLDER OUTPUT
FOLDER is edge-deploy/packaging. What cloud-init would write goes into OUTPUT, to be looked at by others.
"""

import copy
import json
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml

# The oldest that the manifests are for (`preStop.sleep` is on by default), and one of today.
VERSIONS = ["1.30", "1.37"]
HERE = pathlib.Path(__file__).parent


def custom(document):
    """The schema of a resource that Kubernetes itself does not know."""
    path = HERE / "schemas" / f"{document['kind']}.json"
    return json.loads(path.read_text()) if path.exists() else None


def validate(document):
    schema = custom(document)
    if schema:
        jsonschema.validate(document, schema)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


def refuses(document):
    try:
        validate(document)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError):
        return True
    return False


def kubernetes(folder):
    seen = []
    for path in sorted(folder.glob("*.yaml")):
        if path.name == "kustomization.yaml":
            continue
        for document in yaml.safe_load_all(path.read_text()):
            name = f"{path.name}: {document['kind']} {document['metadata']['name']}"
            try:
                validate(document)
            except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
                sys.exit(f"{name}: {error.message} at {list(error.path)}")
            # A schema that lets everything pass would prove nothing.
            wrong = copy.deepcopy(document)
            wrong.setdefault("spec", {})["replcas"] = 1
            if not refuses(wrong):
                sys.exit(f"{name}: an unknown key is let through")
            seen.append(name)
    return seen


def kustomization(folder):
    """All that it names is there; what is there and not named is an alternative."""
    document = yaml.safe_load((folder / "kustomization.yaml").read_text())
    named = document["resources"] + [f for m in document["configMapGenerator"] for f in m["files"]]
    for name in named:
        if not (folder / name).exists():
            sys.exit(f"kustomization.yaml names {name}, which is not there")
    left = {path.name for path in folder.glob("*.yaml")} - set(named)
    if left != {"kustomization.yaml", "keda.yaml"}:
        sys.exit(f"kustomization.yaml leaves out {left}")


def cloud_init(schema, path, output):
    text = path.read_text()
    if not text.startswith("#cloud-config\n"):
        sys.exit(f"{path.name} does not begin as cloud-init wants it")
    document = yaml.safe_load(text)
    schema = json.loads(pathlib.Path(schema).read_text())
    jsonschema.validate(document, schema)
    wrong = {**document, "runcmd": [{"not": "a command"}]}
    if not list(jsonschema.validators.validator_for(schema)(schema).iter_errors(wrong)):
        sys.exit("cloud-init's schema lets everything through")
    for file in document["write_files"]:
        (output / pathlib.Path(file["path"]).name).write_text(file["content"])
    (output / "runcmd.sh").write_text(document["runcmd"][0][2])


schema, folder, output = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
kustomization(folder / "kubernetes")
cloud_init(schema, folder / "cloud-init" / "user-data.yaml", output)
print("\n".join(kubernetes(folder / "kubernetes")))
