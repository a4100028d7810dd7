from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.doubles import Colour, MeanColour, colour_of
from visioncli.batching import SafeForward
from visioncli.errors import DeviceError, PredictError


def asked(double: MeanColour, numbers: Sequence[int]) -> list[object]:
    """Answers for colours by number: the colour itself, or the error's code."""
    inputs = [np.array([[colour_of(number)]], dtype=np.uint8) for number in numbers]
    outputs = SafeForward(double, double.batch_size)(inputs, None)
    return [output.code if isinstance(output, PredictError) else output for output in outputs]


def colours(numbers: Sequence[int]) -> frozenset[Colour]:
    return frozenset(map(colour_of, numbers))


def test_a_short_batch_is_padded_and_the_padding_is_not_answered() -> None:
    double = MeanColour(batch_size=8)
    assert asked(double, range(3)) == [colour_of(0), colour_of(1), colour_of(2)]
    assert double.batches == [[colour_of(0), colour_of(1)] + 6 * [colour_of(2)]]


def test_out_of_memory_halves_the_batch_and_is_remembered() -> None:
    double = MeanColour(batch_size=8, memory_rows=3)
    assert asked(double, range(8)) == [colour_of(number) for number in range(8)]
    assert [len(batch) for batch in double.batches] == [8, 4, 2, 2, 2, 2]


def test_a_row_that_alone_does_not_fit_fails() -> None:
    assert asked(MeanColour(batch_size=4, memory_rows=0), range(3)) == 3 * ["out_of_memory"]


@pytest.mark.parametrize("poison", [[0], [7], [3, 4], [0, 7], [1, 2, 5]])
def test_poison_rows_fail_alone(poison: list[int]) -> None:
    double = MeanColour(batch_size=8, poison=colours(poison))
    wanted = ["device_failed" if number in poison else colour_of(number) for number in range(8)]
    assert asked(double, range(8)) == wanted
    assert {len(batch) for batch in double.batches} == {8}


@given(st.data())
def test_poison_little_memory_and_overflows_never_change_another_row(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 20))
    poison, overflows = (data.draw(st.frozensets(st.integers(0, count), max_size=4)) for _ in range(2))
    double = MeanColour(
        data.draw(st.integers(1, 9)), colours(poison), colours(overflows), memory_rows=data.draw(st.integers(1, 9))
    )
    wanted = [
        "device_failed" if number in poison else "non_finite" if number in overflows else colour_of(number)
        for number in range(count)
    ]
    assert asked(double, range(count)) == wanted


def test_a_number_that_is_not_finite_fails_its_row_alone() -> None:
    assert asked(MeanColour(4, overflows=colours([1])), range(3)) == [colour_of(0), "non_finite", colour_of(2)]


@pytest.mark.parametrize("broken_from", [0, 1, 3])
def test_a_device_that_fails_whatever_it_is_given_is_an_error_of_the_run(broken_from: int) -> None:
    with pytest.raises(DeviceError, match=r"fails whatever it is given: the device is gone$"):
        asked(MeanColour(batch_size=4, broken_from=broken_from), range(40))


def test_a_few_poison_pictures_alone_are_not_called_a_broken_device() -> None:
    assert asked(MeanColour(batch_size=4, poison=colours(range(5))), range(5)) == 5 * ["device_failed"]


def test_when_memory_is_short_while_the_device_is_suspected_the_row_is_to_blame() -> None:
    class Filling(MeanColour):
        def forward(self, inputs: Sequence[np.ndarray], options: None) -> list[Colour | PredictError]:
            self.memory_rows = 0 if self.batches and self.batches[-1] == 2 * [colour_of(9)] else 2
            return super().forward(inputs, options)

    double = Filling(batch_size=2, poison=colours([9]))
    assert asked(double, [1, 2, 9]) == [colour_of(1), colour_of(2), "device_failed"]


def test_what_the_model_refuses_for_one_row_leaves_the_rest_of_its_batch_answered() -> None:
    class Refusing(MeanColour):
        def forward(self, inputs: Sequence[np.ndarray], options: None) -> list[Colour | PredictError]:
            if any((pixels == colour_of(2)).all() for pixels in inputs):
                raise PredictError("input_missing", "no")
            return super().forward(inputs, options)

    assert asked(Refusing(batch_size=4), range(4)) == [colour_of(0), colour_of(1), "input_missing", colour_of(3)]


def test_memory_that_python_itself_runs_out_of_halves_the_batch_too() -> None:
    class Large(MeanColour):
        def forward(self, inputs: Sequence[np.ndarray], options: None) -> list[Colour | PredictError]:
            if len(inputs) > 1:
                raise MemoryError
            return super().forward(inputs, options)

    assert asked(Large(batch_size=4), range(3)) == [colour_of(0), colour_of(1), colour_of(2)]


def test_a_model_that_forgets_a_row_is_a_bug_that_comes_out() -> None:
    class Forgetful(MeanColour):
        def forward(self, inputs: Sequence[np.ndarray], options: None) -> list[Colour | PredictError]:
            return super().forward(inputs, options)[1:]

    with pytest.raises(ValueError, match="gave 3 outputs for 4 inputs"):
        asked(Forgetful(batch_size=4), range(4))
