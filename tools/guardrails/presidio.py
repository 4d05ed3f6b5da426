"""Runs Presidio's analyzer in process over the texts on standard input and writes what it found.

Its pattern recognizers are the default ones. The language model that finds names is not used: it
is not needed for the types compared, and the registries do not carry an official one.
"""

import json
import sys
import time

import spacy
import tldextract
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine

ENTITIES = {
    "CREDIT_CARD": "CreditCard",
    "IBAN_CODE": "IBAN",
    "EMAIL_ADDRESS": "Email",
    "PHONE_NUMBER": "Phone",
    "US_SSN": "USSocialSecurityNumber",
    "IP_ADDRESS": "IPAddress",
}


class BlankEngine(SpacyNlpEngine):
    def __init__(self):
        super().__init__()
        self.nlp = {"en": spacy.blank("en")}


def main():
    # Presidio would fetch the list of top-level domains.
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())
    engine = AnalyzerEngine(nlp_engine=BlankEngine(), supported_languages=["en"])
    found, milliseconds, characters = [], 0.0, 0
    for line in sys.stdin:
        sample = json.loads(line)
        if sample["set"] != "presidio-evaluator":
            continue
        text = sample["text"]
        start = time.perf_counter()
        results = engine.analyze(text, "en", entities=list(ENTITIES), score_threshold=0.35)
        milliseconds += (time.perf_counter() - start) * 1000
        characters += len(text)
        found.append([{"type": ENTITIES[one.entity_type], "start": one.start, "end": one.end} for one in results])
    json.dump({"found": found, "milliseconds": milliseconds, "characters": characters}, sys.stdout)


main()
