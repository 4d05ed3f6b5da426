"""Fills the templates of presidio-evaluator with values of Faker; prints one JSON object a line."""

import json
import random
import re
import sys

from faker import Faker

TYPES = {
    "credit_card_number": ("CreditCard", "credit_card_number"),
    "iban": ("IBAN", "iban"),
    "email": ("Email", "email"),
    "phone_number": ("Phone", "phone_number"),
    "ssn": ("USSocialSecurityNumber", "ssn"),
    "ip_address": ("IPAddress", "ipv4_public"),
}

templates = [line.strip().replace("\\n", "\n") for line in open(sys.argv[1], encoding="utf-8") if line.strip()]
Faker.seed(1)
random.seed(1)
faker = Faker("en_US")


def value_of(field):
    if field in TYPES:
        return getattr(faker, TYPES[field][1])()
    generate = getattr(faker, field, None)
    return str(generate()) if callable(generate) else faker.word()


for _ in range(int(sys.argv[2])):
    template = random.choice(templates)
    text, values, at = "", [], 0
    for match in re.finditer(r"\{\{(\w+)\}\}", template):
        text += template[at : match.start()]
        value = value_of(match.group(1))
        if match.group(1) in TYPES:
            values.append({"type": TYPES[match.group(1)][0], "start": len(text), "end": len(text) + len(value)})
        text += value
        at = match.end()
    print(json.dumps({"text": text + template[at:], "values": values}, ensure_ascii=True))
