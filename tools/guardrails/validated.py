"""Values of the types that Faker has no valid ones of, from public generators and validators.

Each value is random and is what a public package makes or accepts: python-stdnum for taxpayer and
identity numbers, nhs-number for its own, Presidio's pattern for National Insurance numbers, and
the packages base58 and bech32 for the addresses of wallets.
"""

import random
import re

import base58
import bech32
import nhs_number
import rstr
from stdnum import verhoeff
from stdnum.de import idnr
from stdnum.in_ import aadhaar, pan

COUNT = 1000


def values_by_type(packages):
    """Yields the type, the word that people put before the value, and the value as written."""
    choose = random.Random(3)
    strings = rstr.Rstr(choose)
    for _ in range(COUNT):
        yield "GermanTaxID", "Steuer-ID", choose.choice([str, grouped(2, 3, 3, 3)])(german_tax_id(choose))
        yield "IndianAadhaar", "Aadhaar", choose.choice([str, grouped(4, 4, 4)])(aadhaar_number(choose))
        yield "IndianPAN", "PAN", until(pan.is_valid, lambda: strings.xeger("[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]"))
        yield "CryptoWallet", "wallet", choose.choice([base58_address, segwit_address, hexadecimal_address])(choose)
    random.seed(3)
    for number in nhs_number.generate(quantity=COUNT):
        yield "UKNHSNumber", "NHS number", choose.choice([str, grouped(3, 3, 4)])(number)
    pattern = insurance_pattern(packages)
    form = re.sub(r"\(\?!.*?\)|\\b|a-z(?=[A-Z])", "", pattern.pattern)
    for _ in range(COUNT):
        yield "UKNationalInsuranceNumber", "NINO", until(pattern.fullmatch, lambda: strings.xeger(form).upper())


def until(accepts, make):
    while True:
        value = make()
        if accepts(value):
            return value


def grouped(*lengths):
    def write(digits):
        groups, start = [], 0
        for length in lengths:
            groups.append(digits[start : start + length])
            start += length
        return " ".join(groups)

    return write


def digits(choose, count):
    return "".join(choose.choices("0123456789", k=count))


def german_tax_id(choose):
    """Repeats one of the first ten digits two or three times, as the numbers do."""

    def make():
        unlike = choose.sample("0123456789", choose.choice([8, 9]))
        first = unlike + [unlike[0]] * (10 - len(unlike))
        choose.shuffle(first)
        return "".join(first) + digits(choose, 1)

    return until(idnr.is_valid, make)


def aadhaar_number(choose):
    def make():
        number = digits(choose, 11)
        return number + verhoeff.calc_check_digit(number)

    return until(aadhaar.is_valid, make)


def insurance_pattern(packages):
    """Reads the pattern from the source of Presidio's recognizer, whose requirements are not there."""
    folder = packages / "presidio_analyzer/predefined_recognizers/country_specific/uk"
    return re.compile(re.search(r'r"(.*)"', (folder / "uk_nino_recognizer.py").read_text()).group(1))


def base58_address(choose):
    return base58.b58encode_check(bytes([choose.choice([0, 5])]) + choose.randbytes(20)).decode()


def segwit_address(choose):
    version, length = choose.choice([(0, 20), (0, 32)])
    return bech32.encode("bc", version, choose.randbytes(length))


def hexadecimal_address(choose):
    return "0x" + "".join(choose.choices("0123456789abcdefABCDEF", k=40))
