"""Secrets and events made from a seed: so that nothing that looks like a secret stands in this repository.

The secrets follow what each service documents, and the events what MLflow, git, object stores and registries write
(`reference` of the field: experiment params, metrics and tags, digests, ids, URIs, stack traces).
"""

# ruff: noqa: E501
from __future__ import annotations

import base64
import json
import random
import re
import string
import uuid
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

B62 = string.ascii_letters + string.digits
B64 = B62 + "+/"
URL = B62 + "-_"
HEX = "0123456789abcdef"
B32 = string.ascii_uppercase + "234567"


def text(chance: random.Random, alphabet: str, length: int) -> str:
    """So many characters of an alphabet."""
    return "".join(chance.choice(alphabet) for _ in range(length))


def _b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _pem(chance: random.Random, form: PrivateFormat, locked: bool = False) -> str:
    key = ec.derive_private_key(chance.getrandbits(200), ec.SECP256R1())
    lock: Any = BestAvailableEncryption(chance.randbytes(8)) if locked else NoEncryption()
    return key.private_bytes(Encoding.PEM, form, lock).decode()


def _openssh(chance: random.Random) -> str:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(chance.randbytes(32))
    return key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()


def _block(chance: random.Random, label: str) -> str:
    dashes = "-" * 5
    body = base64.b64encode(chance.randbytes(300)).decode()
    return f"{dashes}BEGIN {label}{dashes}\n{body}\n{dashes}END {label}{dashes}\n"


def _jwk(chance: random.Random) -> dict[str, Any]:
    return {"kty": "OKP", "crv": "Ed25519", "x": _b64(chance.randbytes(32)), "d": _b64(chance.randbytes(32))}


def _jwt(chance: random.Random) -> str:
    head = _b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    return f"{head}.{_b64(json.dumps({'sub': text(chance, HEX, 12), 'iat': 1}).encode())}.{_b64(chance.randbytes(32))}"


def _service_account(chance: random.Random) -> str:
    return json.dumps(
        {"type": "service_account", "project_id": "p", "private_key_id": text(chance, HEX, 40),
         "private_key": _pem(chance, PrivateFormat.PKCS8), "client_email": "x@p.iam.gserviceaccount.com"}
    )  # fmt: skip


def _password(chance: random.Random) -> str:
    return text(chance, string.ascii_lowercase, 6) + text(chance, string.digits, 3) + chance.choice("!%^*")


def _seed(chance: random.Random, length: int) -> str:
    """Base 32 with a digit inside; what has none, one of thirty of 16 characters, looks like a name."""
    found = text(chance, B32, length)
    return found if sum(a.isdigit() != b.isdigit() for a, b in pairwise(found)) > 1 else _seed(chance, length)


#: Kind: what makes one. A string is the secret, an object a body with it, a pair (context, secret).
KINDS: dict[str, Callable[[random.Random], Any]] = {
    "pem sec1": lambda c: _pem(c, PrivateFormat.TraditionalOpenSSL),
    "pem pkcs8": lambda c: _pem(c, PrivateFormat.PKCS8),
    "pem encrypted": lambda c: _pem(c, PrivateFormat.PKCS8, locked=True),
    "openssh": _openssh,
    "rsa": lambda c: _block(c, "RSA PRIVATE KEY"),
    "pgp": lambda c: _block(c, "PGP PRIVATE KEY BLOCK"),
    "age": lambda c: "AGE-SECRET-KEY-1" + text(c, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L", 58),
    "jwk": _jwk,
    "jwk text": lambda c: json.dumps(_jwk(c)),
    "jwt": _jwt,
    "aws key id": lambda c: c.choice(("AKIA", "ASIA")) + text(c, string.ascii_uppercase + "234567", 16),
    "aws secret": lambda c: ("aws_secret_access_key = {}", text(c, B64, 40)),
    "aws secret field": lambda c: {"env": {"AWS_SECRET_ACCESS_KEY": text(c, B64, 40)}},
    "gcp account": _service_account,
    "gcp api key": lambda c: "AIza" + text(c, URL, 34) + "x",
    "google oauth": lambda c: "GOCSPX-" + text(c, URL, 28),
    "azure storage": lambda c: (
        "DefaultEndpointsProtocol=https;AccountName=ml;AccountKey={};EndpointSuffix=core.windows.net",
        base64.b64encode(c.randbytes(64)).decode(),
    ),
    "azure sas": lambda c: (
        "https://ml.blob.core.windows.net/models?sv=2022-11-02&sp=r&sig={}",
        base64.b64encode(c.randbytes(32)).decode().replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
    ),
    "azure client secret": lambda c: text(c, B62, 3) + "8Q~" + text(c, B62 + "_~.-", 34),
    "github": lambda c: "gh" + c.choice("pousr") + "_" + text(c, B62, 36),
    "github fine": lambda c: "github_pat_" + text(c, B62, 22) + "_" + text(c, B62, 59),
    "gitlab": lambda c: "glpat-" + text(c, URL, 20),
    "slack": lambda c: "xoxb-" + text(c, string.digits, 12) + "-" + text(c, string.digits, 12) + "-" + text(c, B62, 24),
    "slack hook": lambda c: (
        "https://hooks.slack.com/services/{}",
        f"T{text(c, B62, 8)}/B{text(c, B62, 8)}/{text(c, B62, 24)}",
    ),
    "stripe": lambda c: "sk_live_" + text(c, B62, 24),
    "stripe hook": lambda c: "whsec_" + text(c, B62, 32),
    "hugging face": lambda c: "hf_" + text(c, string.ascii_letters, 34),
    "openai": lambda c: "sk-proj-" + text(c, URL, 64) + "T3BlbkFJ" + text(c, URL, 64),
    "openai old": lambda c: "sk-" + text(c, B62, 20) + "T3BlbkFJ" + text(c, B62, 20),
    "anthropic": lambda c: "sk-ant-api03-" + text(c, URL, 93) + "AA",
    "openrouter": lambda c: "sk-or-v1-" + text(c, HEX, 64),
    "groq": lambda c: "gsk_" + text(c, B62, 52),
    "replicate": lambda c: "r8_" + text(c, B62, 37),
    "nvidia": lambda c: "nvapi-" + text(c, URL, 64),
    "databricks": lambda c: "dapi" + text(c, HEX, 32),
    "npm": lambda c: "npm_" + text(c, B62, 36),
    "pypi": lambda c: "pypi-" + "AgEIcHlwaS5vcmc" + text(c, URL, 80),
    "sendgrid": lambda c: "SG." + text(c, URL, 22) + "." + text(c, URL, 43),
    "telegram": lambda c: text(c, "123456789", 10) + ":AA" + text(c, URL, 33),
    "docker": lambda c: "dckr_pat_" + text(c, URL, 27),
    "vault": lambda c: "hvs." + text(c, URL, 90),
    "terraform": lambda c: text(c, B62, 14) + ".atlasv1." + text(c, URL, 67),
    "digitalocean": lambda c: "dop_v1_" + text(c, HEX, 64),
    "grafana": lambda c: "glsa_" + text(c, B62, 32) + "_" + text(c, HEX, 8),
    "shopify": lambda c: "shpat_" + text(c, HEX, 32),
    "pulumi": lambda c: "pul-" + text(c, HEX, 40),
    "new relic": lambda c: "NRAK-" + text(c, string.ascii_uppercase + string.digits, 27),
    "url": lambda c: ("https://deploy:{}@git.example/ml.git", _password(c)),
    "postgres url": lambda c: ("postgresql://mlflow:{}@db.example:5432/mlflow", _password(c)),
    "redis url": lambda c: ("redis://:{}@cache:6379/0", _password(c)),
    "jdbc": lambda c: ("jdbc:sqlserver://db;user=ml;password={};encrypt=true", _password(c)),
    "libpq": lambda c: ("host=db dbname=ml user=ml password={} sslmode=require", _password(c)),
    "env line": lambda c: ("export WANDB_API_KEY={}", text(c, HEX, 40)),
    "bearer": lambda c: ("Authorization: Bearer {}", text(c, B62, 40)),
    "basic": lambda c: ("Authorization: Basic {}", base64.b64encode(c.randbytes(24)).decode()),
    "password field": lambda c: {"params": {"db_password": _password(c)}},
    "api key field": lambda c: {"tags": {"api_key": text(c, HEX, 32)}},
    "yaml": lambda c: ('client_secret: "{}"', text(c, B62, 32)),
    "nested json": lambda c: ("{}", json.dumps({"auth": {"access_token": text(c, URL, 40)}})),
    "totp uri": lambda c: ("otpauth://totp/ml:p-7f3a?secret={}&issuer=ml", _seed(c, 16)),
    "totp seed": lambda c: ("TOTP seed {} of the robot", _seed(c, 16)),
    "totp groups": lambda c: ("mfa: type {} into the app", " ".join(re.findall("....", _seed(c, 32).lower()))),
    "totp field": lambda c: {"env": {"GITHUB_TOTP_SECRET": text(c, B32, 16)}},
    "seed field": lambda c: {"tags": {"mfa_seed": " ".join(re.findall("....", _seed(c, 32).lower()))}},
    "base 32": lambda c: _seed(c, 32),
    "aws key id in base 64": lambda c: base64.b64encode(b"AKIA" + text(c, B32, 16).encode()).decode(),
    "aws keys in base 64": lambda c: (
        "printf {} | base64 -d",
        base64.b64encode(f"id: AKIA{text(c, B32, 16)}".encode()).decode().rstrip("="),
    ),
    "github in base 64": lambda c: (
        "s3://ml/{}/x",
        base64.urlsafe_b64encode(b"t=ghp_" + text(c, B62, 36).encode()).decode(),
    ),
    "pem in base 64": lambda c: ("{}", base64.b64encode(_pem(c, PrivateFormat.PKCS8).encode()).decode()),
    "random 40": lambda c: text(c, B62, 40),
    "random 48 url": lambda c: text(c, URL, 48),
    "random in words": lambda c: ("use {} to log in", text(c, B62, 44)),
}


def secrets(seed: int, count: int) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Kind, a body of a fact that holds one, and the secret part that must not be in what is signed."""
    chance = random.Random(seed)
    names = list(KINDS)
    for number in range(count):
        kind = names[number % len(names)]
        made = KINDS[kind](chance)
        if isinstance(made, dict):
            inner = next(iter(made.values()))
            secret = made["d"] if "d" in made else next(iter(inner.values()))
            yield kind, {"params": made} if "d" in made else made, secret
            continue
        context, secret = made if isinstance(made, tuple) else ("{}", made)
        whole = context.replace("{}", secret)
        core = json.loads(secret)["auth"]["access_token"] if kind == "nested json" else secret
        core = json.loads(secret)["d"] if kind == "jwk text" else core
        core = json.loads(secret)["private_key"] if kind == "gcp account" else core
        core = core.splitlines()[-2] if "-----BEGIN" in core else core
        where = chance.randrange(4)
        body: dict[str, Any] = (
            {"params": {"note": whole}},
            {"note": f"Traceback (most recent call last):\n  File x.py\nValueError: {whole}"},
            {"tags": {"a": ["fine", {"deep": whole}]}},
            {"metrics": {"auc": 0.9}, "command": f"python train.py {whole}"},
        )[where]
        yield kind, body, core


_WORDS = [
    "churn",
    "fraud",
    "credit",
    "scoring",
    "ranker",
    "retrieval",
    "embed",
    "baseline",
    "champion",
    "challenger",
    "eu",
    "us",
    "prod",
    "staging",
    "nightly",
    "features",
    "loans",
    "claims",
    "text",
    "vision",
    "resnet50",
    "bert-base",
    "llama3-8b",
    "xgboost",
    "lightgbm",
    "v2",
    "2026q3",
    "train",
    "eval",
    "holdout",
]
_TRACE = """Traceback (most recent call last):
  File "/opt/conda/lib/python3.11/site-packages/torch/nn/modules/module.py", line 1739, in _wrapped_call_impl
    return self._call_impl(*args, **kwargs)
  File "/home/jovyan/work/{word}/train.py", line {line}, in <module>
RuntimeError: CUDA out of memory. Tried to allocate {line} MiB (GPU 0; 39.59 GiB total capacity)
Exception raised from malloc at ../c10/cuda/CUDACachingAllocator.cpp:{line} (most recent call first):
frame #0: c10::Error::Error(c10::SourceLocation, std::string) + 0x57 (0x7f{hex12}77 in /opt/conda/lib/libc10.so)
frame #1: _ZN5torch8autograd6Engine17evaluate_functionERSt10shared_ptrINS0_9GraphTaskEEPNS0_4NodeERNS0_11InputBufferE
frame #2: _ZNSt6vectorIN2at6TensorESaIS1_EE17_M_realloc_insertIJRKS1_EEEvN9__gnu_cxx17__normal_iteratorIPS1_S3_EEDpOT_
pid {line} token_type_ids missing; tokenizer: meta-llama/Llama-3.1-8B-Instruct; max_new_tokens=512; key=user_id
"""


def _name(chance: random.Random, count: int = 2) -> str:
    return "-".join(chance.choice(_WORDS) for _ in range(count))


def _params(chance: random.Random) -> dict[str, Any]:
    h = lambda n: text(chance, HEX, n)  # noqa: E731
    found: dict[str, Any] = {
        "learning_rate": chance.choice(("0.001", "3e-4", "1e-05")),
        "tokenizer": chance.choice(("bert-base-uncased", "meta-llama/Llama-3.1-8B-Instruct", "BAAI/bge-large-en-v1.5")),
        "pad_token": "<|finetune_right_pad_id|>",
        "eos_token": "</s>",
        "max_tokens": "4096",
        "num_key_value_heads": "8",
        "primary_key": "customer_id",
        "partition_key": "event_date",
        "optimizer": "torch.optim.adamw.AdamW",
        "base_estimator": "RandomForestClassifier(max_depth=8, n_estimators=500, random_state=42)",
        "checkpoint": f"s3://ml-{_name(chance)}/experiments/{chance.randrange(900)}/{h(32)}/artifacts/model.safetensors",
        "image": f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/ml/{_name(chance)}@sha256:{h(64)}",
        "config_hash": h(64),
        "git_commit": h(40),
        "notebook": f"/Workspace/Users/p-7f3a@example.org/{_name(chance)}/Untitled Notebook 2026-03-{1 + chance.randrange(28):02d} 10:00:00",
        "password_policy": "none",
        "secret_name": "projects/ml/secrets/wandb/versions/latest",
        "db_password": chance.choice(("***", "${DB_PASSWORD}", "<redacted>", "{{ secrets.DB }}")),
        "data": f"abfss://raw@lake.dfs.core.windows.net/{_name(chance)}/dt=2026-0{1 + chance.randrange(9)}-01/part-00000-{uuid.UUID(int=chance.getrandbits(128))}-c000.snappy.parquet",
        "tracking_uri": "postgresql://mlflow@db.example:5432/mlflow",
        "registry": "https://oauth2:${CI_JOB_TOKEN}@gitlab.example/ml/models.git",
        "encryption_key": chance.choice(("alias/ml-prod-2", str(uuid.UUID(int=chance.getrandbits(128))), "arn:aws:kms:eu-west-1:123456789012:key/" + h(8))),
        "image_pull_secret": "regcred-2",
        "s3_error": f"RequestId: {text(chance, string.ascii_uppercase + string.digits, 16)}, HostId in the log",
        "otp_model": f"prototype-otp-2/{_name(chance, 3)}, MFA is asked of ACCOUNTADMINROLE2 and 2fa of the others",
        "sequence": text(chance, "ACDEFGHIKLMNPQRSTVWY", 60),
        "hf_args": ["sk-", "hf_internal_testing", f"tiny-random-{_name(chance)}", "r8_", text(chance, HEX, 40), "SG.", "x"],
        "extras": ["scikit-learn", "xai-", "shap", "npm_", "config", "glpat-", "docs", "pul-", _name(chance, 3)],
        "forward_pass": "full",
        "master_key": "customer_id",
        "command": "python train.py --tokenizer BAAI/bge-m3 --password-file /run/secrets/db1 --seed 42",
        "usage": "--password must be set, or --token TOKEN; --api-key is read from the environment",
        "args": ["--password-file", "/run/secrets/db", "--key", f"customer-{chance.randrange(99)}"],
        "environment": [{"name": "NCCL_DEBUG", "value": "INFO"}, {"name": "IMAGE_SHA", "value": h(64)}],
        "class": "org.apache.spark.ml.classification.GBTClassificationModel",
        "target": "HTTPSConnectionPoolMaxRetriesExceededErrorHandlerFactoryBean2",
        "env": "OMP_NUM_THREADS=8 CUDA_VISIBLE_DEVICES=0,1,2,3 NCCL_P2P_DISABLE=1",
    }  # fmt: skip
    return {name: found[name] for name in chance.sample(sorted(found), 9)}


def _tags(chance: random.Random) -> dict[str, Any]:
    h = lambda n: text(chance, HEX, n)  # noqa: E731
    run = h(32)
    history = [
        {"run_id": run, "artifact_path": "model", "model_uuid": h(32), "utc_time_created": "2026-03-01 10:00:00.1"}
    ]
    found: dict[str, Any] = {
        "mlflow.runName": f"{_name(chance, 2)}-{chance.randrange(999)}",
        "mlflow.source.git.commit": h(40),
        "mlflow.source.name": "/databricks/python_shell/scripts/db_ipykernel_launcher.py",
        "mlflow.log-model.history": json.dumps(history),
        "mlflow.parentRunId": run,
        "model_id": "m-" + h(32),
        "mlflow.databricks.notebookID": str(chance.randrange(10**15)),
        "nonce": base64.b64encode(chance.randbytes(32)).decode(),
        "x-request-nonce": _b64(chance.randbytes(24)),
        "etag": f'"{h(32)}-12"',
        "integrity": "sha512-" + base64.b64encode(chance.randbytes(64)).decode(),
        "artifact_digest": base64.b64encode(chance.randbytes(32)).decode(),
        "crc32c": base64.b64encode(chance.randbytes(4)).decode(),
        "traceparent": f"00-{h(32)}-{h(16)}-01",
        "pod": f"train-{_name(chance)}-{text(chance, string.ascii_lowercase + string.digits, 10)}-{text(chance, string.ascii_lowercase, 5)}",
        "arn": f"arn:aws:sagemaker:eu-west-1:123456789012:model-package/{_name(chance)}/{chance.randrange(99)}",
        "delivery": str(uuid.UUID(int=chance.getrandbits(128))),
        "wandb": f"https://wandb.ai/team/{_name(chance)}/runs/{text(chance, string.ascii_lowercase + string.digits, 8)}",
        "hf": f"https://huggingface.co/BAAI/bge-m3/blob/{h(40)}/pytorch_model.bin",
        "pr": "https://github.example/ml/churn/pull/1234#discussion_r1789423412",
        "k8s": f"gke_ml-prod-4711_europe-west1-b_{_name(chance)}",
        "dvc": f"md5: {h(32)}.dir, size: 1234567, nfiles: 12",
        "conda": f"https://conda.anaconda.org/conda-forge/linux-64/numpy-2.1.0-py311h{h(7)}_0.conda#{h(32)}",
        "dashboard": f"https://grafana.example/d/{text(chance, B62, 9)}/{_name(chance)}?orgId=1&from=1767225600000",
        "public": "ssh-ed25519 key of p-7f3a, see keys/",
    }  # fmt: skip
    return {name: found[name] for name in chance.sample(sorted(found), 10)}


def events(seed: int, count: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Type, subject and body as pipelines send them; without any secret."""
    chance = random.Random(seed)
    body: dict[str, Any]
    for number in range(count):
        digest = "sha256:" + text(chance, HEX, 64)
        kind = number % 6
        model = f"model:{_name(chance)}@{chance.randrange(99)}"
        if kind == 0:
            metrics = {f"{_name(chance, 1)}/auc": round(chance.random(), 6), "loss": chance.random() * 3}
            body = {"params": _params(chance), "metrics": metrics, "tags": _tags(chance), "code": {"repo": "git@github.example:ml/churn.git", "commit": text(chance, HEX, 40)}}  # fmt: skip
            yield "run.completed", f"run:{text(chance, HEX, 32)}", body
        elif kind == 1:
            trace = _TRACE.format(word=_name(chance), line=chance.randrange(9000), hex12=text(chance, HEX, 8))
            yield "run.failed", f"run:{text(chance, HEX, 32)}", {"reason": trace, "tags": _tags(chance)}
        elif kind == 2:
            body = {"digest": digest, "row_count": chance.randrange(10**9), "uri": _params(chance).get("data", "s3://raw/x"), "refs": [{"role": "derived-from", "subject": f"dataset:{_name(chance)}@1", "digest": digest}]}  # fmt: skip
            yield "dataset.registered", f"dataset:{_name(chance)}@{text(chance, HEX, 12)}", body
        elif kind == 3:
            yield "version.registered", model, {"digest": digest, "owner": "p-7f3a", "tier": "low", "run": f"run:{text(chance, HEX, 32)}", "tags": _tags(chance)}  # fmt: skip
        elif kind == 4:
            yield "evaluation.completed", model, {"metrics": {"auc": chance.random()}, "verdict": "pass", "digest": digest, "params": _params(chance)}  # fmt: skip
        else:
            yield "external.observed", f"external:{_name(chance)}", {"origin": "mlflow", "body": {"entity": "model_version_tag", "data": _tags(chance), "params": _params(chance)}}  # fmt: skip
