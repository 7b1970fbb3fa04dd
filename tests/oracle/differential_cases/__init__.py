"""The cases of tests/oracle/differential, one module per group of APIs. A case is a function from a Broker to what it saw."""

import importlib

MODULES = ["admission", "topics", "configs", "produce", "idempotence", "fetch", "offsets", "groups", "group_offsets", "consumer_groups"]


def all_cases():
    """Every case by name, in the order of the modules and of their definition."""
    found = {}
    for name in MODULES:
        module = importlib.import_module(f"differential_cases.{name}")
        for case_name, case in module.CASES.items():
            full = f"{name}/{case_name}"
            if full in found:
                raise ValueError(f"two cases are named {full}")
            found[full] = case
    return found


def collector():
    """A dict of cases and the decorator that fills it. `@case()` takes the function's name, `@case("x")` a name of its own."""
    cases = {}

    def case(name=None):
        def add(function):
            cases[name or function.__name__.strip("_").replace("_", "-")] = function
            return function

        return add

    return cases, case
