"""`POST /analyze` of Presidio's analyzer, as Presidio's own Flask application has it.

That application is not part of the package. As in presidio.py, the recognizers are the default ones
without the language model that finds names, which the registries do not carry.
"""

import spacy
import tldextract
from flask import Flask, jsonify, request
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import SpacyNlpEngine


class BlankEngine(SpacyNlpEngine):
    def __init__(self):
        super().__init__()
        self.nlp = {"en": spacy.blank("en")}


# Presidio would fetch the list of top-level domains.
tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())
engine = AnalyzerEngine(nlp_engine=BlankEngine(), supported_languages=["en"])
app = Flask(__name__)


@app.post("/analyze")
def analyze():
    body = request.get_json()
    found = engine.analyze(
        text=body["text"],
        language=body["language"],
        entities=body.get("entities"),
        score_threshold=body.get("score_threshold"),
    )
    return jsonify([one.to_dict() for one in found])
