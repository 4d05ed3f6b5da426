"""Credentials in the formats that CredSweeper's rules describe, from its package.

A rule counts if CredSweeper is confident in it and the credential is known by its own form, without
the name of a variable before it.
"""

import importlib
import random
import re

import rstr
import yaml

VALUES_PER_RULE = 20
# Not by themselves credentials, or known by what is around them.
OTHERS = {"UUID", "PEM Private Key", "BASE64 Private Key", "BASE64 encoded PEM Private Key"}


def credentials(packages):
    """Yields the name of a rule, and a value."""
    # Some formats are longer than the repetitions that the generator makes.
    importlib.import_module("rstr.xeger").STAR_PLUS_LIMIT = 1000
    strings = rstr.Rstr(random.Random(4))
    for rule in yaml.safe_load((packages / "credsweeper/rules/config.yaml").read_text()):
        [pattern, *others] = rule["values"]
        if (
            rule["type"] != "pattern"
            or others
            or rule["confidence"] == "weak"
            or rule["severity"] in ("info", "low")
            or "(?P<variable>" in pattern
            or rule["name"] in OTHERS
        ):
            continue
        form = bounded(value_group(pattern))
        whole = re.compile(form)
        count = 0
        while count < VALUES_PER_RULE:
            value = strings.xeger(re.sub(r"\(\?[!<][^)]*\)", "", form))
            if whole.fullmatch(value):
                count += 1
                yield rule["name"], value


def value_group(pattern):
    """Returns what is inside of `(?P<value>…)`."""
    start = pattern.index("(?P<value>") + len("(?P<value>")
    depth, index, in_class = 1, start, False
    while depth > 0:
        character = pattern[index]
        if character == "\\":
            index += 1
        elif in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
        elif character in "()":
            depth += 1 if character == "(" else -1
        index += 1
    return pattern[start : index - 1]


def bounded(form):
    """Limits repetitions such as {15,8000} to at most 40 more than their least count."""
    return re.sub(r"\{(\d+),(\d+)\}", lambda match: f"{{{match[1]},{min(int(match[2]), int(match[1]) + 40)}}}", form)
