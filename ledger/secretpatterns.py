"""What secrets look like: private keys, tokens of clouds and services, passwords in URLs and settings.

Each pattern has *triggers*, plain strings one of which every match contains. Text without any trigger is never matched
against the expression, and an expression is compiled when it is first needed: so a process that emits one clean event
compiles none. Every expression is linear in the text it is given: what repeats is bounded, or may begin only where a
run of its own characters begins.

Sources: the documentation of each service on the form of its tokens; RFC 7468 (PEM), RFC 7517 (JWK), RFC 7519 (JWT),
RFC 3986 3.2.1 (user information in URLs).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

__all__ = [
    "KEY_ENDINGS",
    "PATTERNS",
    "SECRET_ENDINGS",
    "SECRET_NAMES",
    "Pattern",
    "is_placeholder",
    "looks_base32",
    "looks_mixed",
    "looks_random",
]


@dataclass(frozen=True, slots=True)
class Pattern:
    """One kind of secret.

    Attributes:
        name: what the marker calls it.
        triggers: one of these is in every match; in lower case where ``folded``.
        expression: finds it; a group ``s``, where there is one, is the part to hide, otherwise all of it.
        folded: triggers are looked for in the text in lower case.
        only: what is found must also look ``mixed`` (`looks_mixed`), be ``set`` to something (not `is_placeholder`), or
            both (``assigned``), or ``base32`` (`looks_base32`); empty when the expression says enough.
    """

    name: str
    triggers: tuple[str, ...]
    expression: str
    folded: bool = False
    only: str = ""

    def compiled(self) -> re.Pattern[str]:
        """The expression, compiled once."""
        return _compiled(self.expression)


@cache
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression)


# A run may only begin where no character of the same run stands before: one attempt a run.
_W: Final = r"(?<![A-Za-z0-9_-])"
_A: Final = r"(?<![A-Za-z0-9])"
_GITLAB: Final = "pat|dt|rt|cbt|ptt|ft|oas|agent|imt|soat|ffct"
_ACCOUNTS: Final = "db|database|user|admin|root|smtp|mail|redis|mysql|mongo|pg|postgres|ldap|ftp|ssh|svc"
_PASSWORDS: Final = rf"passwo?r?d|passwd|passphrase|pwd|(?:{_ACCOUNTS})[_-]?pass"
_WORDS: Final = (
    "api[_-]?key|apikey|secret[_-]?access[_-]?key|access[_-]?key|account[_-]?key|shared[_-]?key|client[_-]?secret|"
    "(?:secret|encryption|signing|master|hmac|aes|wrapping)[_-]?key|access[_-]?token|auth[_-]?token|"
    "api[_-]?token|refresh[_-]?token|session[_-]?token|private[_-]?key|"
    "secret|token"
)
#: How a name that is set to something goes on.
_GOES_ON: Final = ("=", ":", " =", " :", '"', "'", "\\", "\t", "  ")


def _set(*names: str) -> tuple[str, ...]:
    return tuple(name + end for name in names for end in _GOES_ON)


#: The option of a command, up to the word that says what it is.
_OPTION: Final = r"(?<![A-Za-z0-9_-])--(?:[A-Za-z0-9]{1,20}[_-]){0,3}"
_SET: Final = r"""\\?["']?[ \t]{0,3}(?:=>|[:=])[ \t]{0,3}\\?["']?"""

PATTERNS: Final = (
    Pattern("age-key", ("AGE-SECRET-KEY-",), r"AGE-SECRET-KEY-[A-Z0-9-]{20,4000}"),
    Pattern(
        "aws-access-key", ("AKIA", "ASIA", "ABIA", "ACCA"),
        _A + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])",
    ),
    Pattern("google-api-key", ("AIza",), _W + r"AIza[A-Za-z0-9_-]{35}(?![A-Za-z0-9_-])"),
    Pattern(
        "google-oauth", ("GOCSPX-", "ya29."),
        _W + r"(?:GOCSPX-[A-Za-z0-9_-]{20,200}|ya29\.[A-Za-z0-9_-]{20,4000})",
    ),
    Pattern(
        "azure-key", ("accountkey=", "sharedaccesskey="),
        r"(?i)(?:AccountKey|SharedAccessKey)=(?P<s>[A-Za-z0-9+/]{20,200}={0,2})", folded=True,
    ),
    Pattern("azure-signature", ("sig=",), r"[?&;]sig=(?P<s>[A-Za-z0-9%+/_-]{30,200}={0,2})"),
    Pattern("azure-client-secret", ("Q~",), r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,40}"),
    Pattern("github-token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), _A + r"gh[pousr]_[A-Za-z0-9]{36,255}"),
    Pattern("github-token", ("github_pat_",), _A + r"github_pat_[A-Za-z0-9]{20,24}_[A-Za-z0-9]{50,120}"),
    Pattern(
        "gitlab-token", tuple(f"gl{kind}-" for kind in _GITLAB.split("|")),
        _W + r"gl(?:" + _GITLAB + r")-[A-Za-z0-9_.-]{20,300}",
    ),
    Pattern("slack-token", ("xox", "xapp-"), _W + r"(?:xox[abeoprs](?:\.xox[bp])?|xapp)-[A-Za-z0-9-]{10,400}"),
    Pattern(
        "webhook-url", ("hooks.slack.com/", "/api/webhooks/", "webhook.office.com/"),
        r"(?:hooks\.slack\.com/(?:services|workflows)/|/api/webhooks/|webhook\.office\.com/webhookb2/)"
        r"(?P<s>[A-Za-z0-9_@/.-]{20,400})",
    ),
    Pattern(
        "stripe-key", ("k_live_", "k_test_", "whsec_"),
        _W + r"(?:[sr]k_(?:live|test)_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9+/=]{24,250})",
    ),
    Pattern("huggingface-token", ("hf_", "api_org_"), _A + r"(?:hf_|api_org_)[A-Za-z0-9]{30,100}", only="mixed"),
    Pattern("openai-key", ("sk-",), _W + r"sk-[A-Za-z0-9_-]{20,400}", only="mixed"),
    Pattern("groq-key", ("gsk_",), _W + r"gsk_[A-Za-z0-9]{40,100}"),
    Pattern("xai-key", ("xai-",), _W + r"xai-[A-Za-z0-9]{60,120}"),
    Pattern("replicate-token", ("r8_",), _W + r"r8_[A-Za-z0-9]{37}"),
    Pattern("nvidia-key", ("nvapi-",), _W + r"nvapi-[A-Za-z0-9_-]{40,100}"),
    Pattern("databricks-token", ("dapi", "dose"), _W + r"(?:dapi|dose)[0-9a-f]{32}(?:-[0-9])?(?![A-Za-z0-9])"),
    Pattern("npm-token", ("npm_",), _W + r"npm_[A-Za-z0-9]{36}"),
    Pattern("pypi-token", ("pypi-Ag",), _W + r"pypi-Ag[A-Za-z0-9_-]{50,1000}"),
    Pattern("sendgrid-key", ("SG.",), _W + r"SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{30,64}"),
    Pattern("twilio-key", ("SK",), _W + r"SK[0-9a-f]{32}(?![A-Za-z0-9])"),
    Pattern("telegram-token", (":AA",), r"(?<![0-9])[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    Pattern("docker-token", ("dckr_",), _W + r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,60}"),
    Pattern("vault-token", ("hvs.", "hvb."), _W + r"hv[sb]\.[A-Za-z0-9_-]{24,400}"),
    Pattern("terraform-token", (".atlasv1.",), _A + r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,80}"),
    Pattern("digitalocean-token", ("_v1_",), _W + r"do[opr]_v1_[0-9a-f]{64}"),
    Pattern(
        "grafana-token", ("glsa_", "glc_"),
        _W + r"(?:glsa_[A-Za-z0-9]{32}_[0-9a-f]{8}|glc_[A-Za-z0-9+/=]{32,400})",
    ),
    Pattern("shopify-token", ("shpat_", "shpca_", "shppa_", "shpss_"), _W + r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    Pattern("pulumi-token", ("pul-",), _W + r"pul-[0-9a-f]{40}"),
    Pattern("newrelic-key", ("NRAK-",), _W + r"NRAK-[A-Z0-9]{27}"),
    Pattern("linear-key", ("lin_api_",), _W + r"lin_api_[A-Za-z0-9]{40}"),
    Pattern(
        "jwt", ("eyJ",),
        r"(?<![A-Za-z0-9_.-])eyJ[A-Za-z0-9_-]{10,20000}\.[A-Za-z0-9_-]{10,40000}\.[A-Za-z0-9_-]{10,4000}",
    ),
    Pattern("jwk", ('"kty',), r'"(?:d|k|p|q|dp|dq|qi)\\?"[ \t]{0,3}:[ \t]{0,3}\\?"(?P<s>[A-Za-z0-9_-]{16,2000})'),
    Pattern(
        "password-in-url", ("://",), r"""://[^\s/?#:@"'<>]{0,200}:(?P<s>[^\s/?#"'<>]{1,200})@""", only="set",
    ),
    Pattern(  # a password with a slash or a hash sign; a port and a path with an @ in it are none
        "password-in-url", ("://",),
        r"""://(?!\[)[^\s/?#:@"'<>]{1,200}:(?![0-9]{1,5}[/?#])(?P<s>[^\s"'<>@]{1,200})@(?=[A-Za-z0-9\[])""", only="set",
    ),
    Pattern(
        "totp-seed", ("otpauth://",),
        r"(?i)otpauth://[^\s]{0,400}?[?&]secret=(?P<s>[A-Z2-7]{8,256}={0,6})", folded=True,
    ),
    Pattern(  # as authenticators show it: one run, or groups of four
        "totp-seed", ("otp", "mfa", "authenticator", *(f"2fa{end}" for end in " _-:=")),
        r"(?<![A-Za-z0-9])(?i:totp|hotp|otp|2fa|mfa|authenticator)[^\n]{0,40}?(?<![A-Za-z0-9])"
        r"(?P<s>[A-Z2-7]{16,128}|[a-z2-7]{16,128}|(?:[A-Za-z2-7]{4}[ -]){3,31}[A-Za-z2-7]{4})(?![A-Za-z0-9])",
        folded=True, only="base32",
    ),
    Pattern(
        "authorization", ("bearer ", "basic ", "bearer:"),
        r"(?i)(?:bearer|basic):?[ \t]{1,3}(?P<s>[A-Za-z0-9._~+/-]{16,8000}={0,2})", folded=True, only="mixed",
    ),
    Pattern(
        "password", _set("password", "passwd", "passwod", "pwd", "passphrase", "pass"),
        rf"""(?i)(?:{_PASSWORDS}){_SET}(?P<s>[^\s"',;&\\]{{4,512}})""", folded=True, only="set",
    ),
    Pattern(  # in quotes it may have spaces
        "password", _set("password", "passwd", "passwod", "pwd", "passphrase", "pass"),
        rf"""(?i)(?:{_PASSWORDS})["']?[ \t]{{0,3}}(?:=>|[:=])[ \t]{{0,3}}"""
        r"""(?P<q>["'])(?P<s>[^"'\\\r\n]{4,512})(?P=q)""",
        folded=True, only="set",
    ),
    Pattern(  # what looks made up, not the next word of a sentence
        "password", ("password ", "passwd ", "passphrase ", "pwd ", "pass "),
        rf"""{_OPTION}(?i:{_PASSWORDS}) {{1,3}}["']?"""
        r"""(?=[^\s"',;&\\]{0,511}(?:[0-9!@#^*+~?]|[a-z][A-Z]))(?P<s>[^\s"',;&\\-][^\s"',;&\\]{3,511})""",
        folded=True, only="set",
    ),
    Pattern(
        "secret-setting", ("key ", "secret ", "token "),
        rf"""{_OPTION}(?i:{_WORDS}) {{1,3}}["']?(?P<s>[^\s"',;&\\-][^\s"',;&\\]{{15,4095}})""",
        folded=True, only="assigned",
    ),
    Pattern(
        "secret-setting", _set("key", "secret", "token"),
        rf"""(?i)(?:{_WORDS}){_SET}(?P<s>[^\s"',;&\\]{{16,4096}})""", folded=True, only="assigned",
    ),
)  # fmt: skip

#: Names of fields whose value is a secret whatever it looks like, without `_`, `-` and `.`, in lower case.
SECRET_NAMES: Final = frozenset(
    [
        "password",
        "passwd",
        "pwd",
        "passphrase",
        "secret",
        "secretkey",
        "secretaccesskey",
        "accesskey",
        "apikey",
        "apitoken",
        "authtoken",
        "accesstoken",
        "refreshtoken",
        "sessiontoken",
        "bearertoken",
        "clientsecret",
        "privatekey",
        "accountkey",
        "sharedaccesskey",
        "connectionstring",
        "credentials",
        "authorization",
        "xapikey",
    ]
)

#: Names that end so are such too: `db_pass`, `WEBHOOK_SECRET`; a `forward_pass` and an `image_pull_secret` are not.
SECRET_ENDINGS: Final = (
    "password",
    "passwd",
    "passphrase",
    "secretaccesskey",
    "apikey",
    "authtoken",
    *(f"{of}{word}" for of in _ACCOUNTS.split("|") for word in ("pass", "pwd")),
    *(f"{of}secret" for of in ("api", "app", "auth", "client", "consumer", "cookie", "hmac", "jwt", "oauth", "session",
                               "shared", "signing", "webhook", "totp", "hotp", "otp", "mfa", "2fa")),
    *(f"{of}{word}" for of in ("totp", "hotp", "otp", "mfa", "2fa") for word in ("seed", "key")),
)  # fmt: skip
#: Names that end so hold a key, or the name of one: a value counts that looks random.
KEY_ENDINGS: Final = tuple(
    f"{of}key" for of in ("access", "account", "aes", "encryption", "hmac", "master", "private", "secret", "shared",
                          "signing", "wrapping")
)  # fmt: skip

_PLACEHOLDERS: Final = frozenset(
    [
        "none",
        "null",
        "nil",
        "true",
        "false",
        "yes",
        "no",
        "empty",
        "unset",
        "missing",
        "changeme",
        "redacted",
        "hidden",
        "masked",
        "removed",
        "required",
        "optional",
        "string",
        "str",
        "password",
        "secret",
        "token",
        "default",
        "prompt",
        "env",
    ]
)
_HEX: Final = re.compile(r"[0-9a-f]{32,128}")
_STANDS_FOR: Final = ("[", "{", "env:", "vault:", "secret:", "ref:", "file:", "arn:", "os.environ")
#: A variable, a command, a place to fill in, a format, a path: whole, so that a password may begin with the same sign.
_VARIABLE: Final = re.compile(
    r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{.*|\(.*|\$.*)|<[^<>]*>|<[A-Za-z_-]*|%[A-Za-z_][A-Za-z0-9_]*%|%\(?[a-z_]*\)?[sdr]?"
    r"|(?:/[A-Za-z0-9._-]+){2,}/?"
)


def is_placeholder(text: str) -> bool:
    """Whether a value only stands for a secret: a variable, where it is kept, stars, a word."""
    bare = text.strip("()[]<>{}\"'`.,;")
    return (
        not bare.strip("*xX•-_")
        or bare.lower() in _PLACEHOLDERS
        or (text.startswith(_STANDS_FOR) or _VARIABLE.fullmatch(text) is not None)
    )


def _changes(text: str) -> tuple[int, int]:
    """Kinds of characters in a text (lower case, upper case, digits), and how often the kind changes."""
    kinds, last, changes = set(), "", 0
    for character in text:
        kind = "a" if "a" <= character <= "z" else "A" if "A" <= character <= "Z" else "0"
        if kind == "0" and not "0" <= character <= "9":
            continue
        kinds.add(kind)
        changes += kind != last
        last = kind
    return len(kinds), changes


def looks_mixed(text: str) -> bool:
    """Whether letters and digits, or small and capital letters, are mixed more than in words and names."""
    kinds, changes = _changes(text)
    return kinds > 1 and (changes * 4 >= len(text) or _HEX.fullmatch(text) is not None)


def looks_random(text: str) -> bool:
    """Whether characters of three kinds follow each other as by chance.

    In words of any spelling the kind seldom changes from one character to the next; in random base 62 it does at more
    than six of ten places. Nor do few characters make up most of it.
    """
    kinds, changes = _changes(text)
    return kinds == 3 and changes * 5 >= len(text) * 2 and len(set(text)) * 3 >= min(len(text), 60)


def looks_base32(text: str) -> bool:
    """Whether a text is base 32 as by chance (RFC 4648): in one case, letters and digits mixed, and no hexadecimal.

    One without a digit inside, as one of thirty of 16 characters is, is not told from a name.
    """
    bare = text.rstrip("=").replace(" ", "").replace("-", "")
    if _BASE32.fullmatch(bare) is None or not (bare.islower() or bare.isupper()):
        return False
    return _changes(bare)[1] > 2 and len(set(bare)) >= 8 and bare.strip("abcdefABCDEF234567") != ""


_BASE32: Final = re.compile(r"[A-Za-z2-7]{16,}")
