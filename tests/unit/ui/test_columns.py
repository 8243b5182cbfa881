from __future__ import annotations

from kmeans.v1 import dataset_pb2

from ui.columns import choose_columns, coordinates_sentence, kind_word


def column(name: str, **more: object) -> dataset_pb2.Column:
    given = {"kind": dataset_pb2.COLUMN_KIND_NUMERIC, "role": dataset_pb2.COLUMN_ROLE_FEATURE}
    return dataset_pb2.Column(name=name, **{**given, **more})


VARIES = {"minimum": 1.0, "maximum": 2.0}
LONGITUDE = column("Lon", role=dataset_pb2.COLUMN_ROLE_LONGITUDE, statistics=VARIES)
LATITUDE = column("Lat", role=dataset_pb2.COLUMN_ROLE_LATITUDE, statistics=VARIES)
TEXT = column("farm", kind=dataset_pb2.COLUMN_KIND_TEXT, text_row=3, text_value="North")
CONSTANT = column("year", statistics={"minimum": 2007.0, "maximum": 2007.0})
EMPTY = column("nothing", missing_count=9)
GAPS = column("weight", missing_count=2, statistics=VARIES)
FEATURE = column("height", statistics=VARIES)


def test_features_that_vary_are_chosen_and_coordinates_only_choosable() -> None:
    choices = choose_columns([LONGITUDE, LATITUDE, TEXT, CONSTANT, EMPTY, GAPS, FEATURE])
    assert [choice.name for choice in choices if choice.is_chosen] == ["weight", "height"]
    assert [choice.name for choice in choices if choice.is_choosable] == ["Lon", "Lat", "weight", "height"]


def test_what_is_not_choosable_says_why() -> None:
    text, constant, empty = choose_columns([TEXT, CONSTANT, EMPTY])
    assert "row 3 holds “North”" in text.note
    assert "every row holds 2007" in constant.note
    assert "empty" in empty.note


def test_gaps_and_coordinates_are_explained() -> None:
    (gaps, longitude, _) = choose_columns([GAPS, LONGITUDE, LATITUDE])
    assert gaps.note.startswith("2 rows without it")
    assert "map" in longitude.note
    sentence = coordinates_sentence([LONGITUDE, LATITUDE, FEATURE], ["height"])
    assert sentence.startswith("Lon and Lat are left out")
    assert "draws the clusters on a map" in sentence
    assert coordinates_sentence([FEATURE], []) == ""


def test_a_coordinate_that_was_added_is_not_said_to_be_left_out() -> None:
    both = [LONGITUDE, LATITUDE, FEATURE]
    assert coordinates_sentence(both, ["Lon", "height"]).startswith("Lat is left out")
    assert coordinates_sentence(both, ["Lon", "Lat"]) == ""


def test_no_map_is_promised_without_numbers_for_both_coordinates() -> None:
    text = column("Lat", kind=dataset_pb2.COLUMN_KIND_TEXT, role=dataset_pb2.COLUMN_ROLE_LATITUDE)
    for table in ([LONGITUDE, FEATURE], [LONGITUDE, text, FEATURE]):
        assert "map instead" not in coordinates_sentence(table, ["height"])
        assert "map" not in choose_columns(table)[0].note


def test_kinds_are_words() -> None:
    assert [kind_word(each) for each in (TEXT, LONGITUDE, FEATURE)] == ["text", "coordinate", "number"]
