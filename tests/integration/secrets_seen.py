"""secrets_seen - what must never be seen: every password, secret and key that the suite gives to a pgweir, and what is made of them.

Poolers tell what they were given; whoever reads a log, a console's answer or an error has it looked through. An occurrence
fails the test in which it is found, or, for errors that clients got, the session.
"""
import hashlib
import re

SHORTEST = 6  # anything shorter occurs by chance, and so does a plain word like "secret", which errors are made of
WORD = re.compile(r"[A-Za-z]{,11}")
KNOWN = {}  # secret -> whose
OVERHEARD = set()  # texts of errors and notices that clients of the suite got


def learn(text, whose):
    if text and len(text) >= SHORTEST and not WORD.fullmatch(text):
        KNOWN[text] = whose


def learn_user(user, secret):
    """Its secret as the user list has it, and what can be computed from it without knowing more."""
    learn(secret, "the secret of %s" % user)
    if secret.startswith("SCRAM-SHA-256$"):
        for key in re.split(r"[$:]", secret)[3:]:
            learn(key, "a SCRAM key of %s" % user)
    elif secret.startswith("md5") and len(secret) == 35:
        learn(secret[3:], "the MD5 hash of %s" % user)
    elif len(secret) >= SHORTEST:
        learn(hashlib.md5((secret + user).encode()).hexdigest(), "the MD5 hash of the password of %s" % user)


def learn_options(text, where):
    """Passwords inside connection strings, URIs and HBA lines."""
    for match in re.finditer(r"(?:password|ldapbindpasswd)=(?:'((?:[^']|'')*)'|\"((?:[^\"]|\"\")*)\"|(\S+))", text):
        learn(next(g for g in match.groups() if g is not None), "a password in %s" % where)
    for match in re.finditer(r"://[^:/@\s]+:([^@\s]+)@", text):
        learn(match[1], "a password in %s" % where)


def learn_key(pem):
    """The lines of a private key."""
    for block in re.findall(r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n(.*?)-----END", pem, re.S):
        for line in block.split():
            learn(line, "a private key")


def overhear(text):
    OVERHEARD.add(text)


def found_in(text):
    return sorted({whose for secret, whose in KNOWN.items() if secret in text})


def check(text, where):
    found = found_in(text)
    if not found:
        return
    lines = [line for line in text.splitlines() if found_in(line)][:5]
    raise AssertionError("%s shows %s: %r" % (where, ", ".join(found), lines))


def check_overheard():
    for text in OVERHEARD:
        check(text, "an error")
