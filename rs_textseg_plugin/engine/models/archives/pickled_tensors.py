"""What a pickle of tensors says, read opcode by opcode: names, types, shapes, and where the bytes lie.

A pickle is a program. Here it is not run: its opcodes are told apart, and the few that torch writes for tensors,
numbers, texts and containers are interpreted. Nothing is imported and nothing is called, so the name of a
function stays a name. Objects of TorchScript become a name with a dictionary of attributes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import IO, Any

import torch

from rs_textseg_plugin.engine.models.archives.opcodes import DamagedPickle, read_opcodes

MOST_OPCODES = 300_000  # a published CLIP has 20,000; read in less than a second
_MOST_DIMENSIONS = 16

_STORAGES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8, "ComplexFloatStorage": torch.complex64, "ComplexDoubleStorage": torch.complex128,
}  # fmt: skip
_STORAGE_MODULES = ("torch", "torch.storage", "torch.cuda")
_SCRIPT = "__torch__"  # the module of every class of TorchScript
_LISTS = "torch.jit._pickle"  # functions that say what type a list has
# What torch's own reader of weights takes beside tensors, and what is of no interest here.
_HARMLESS = frozenset((
    "torch.device", "torch.Tensor", "torch.nn.parameter.Parameter", "_codecs.encode", "builtins.set",
    "__builtin__.set", "builtins.bytearray", "__builtin__.bytearray", "builtins.complex", "__builtin__.complex",
))  # fmt: skip


class EndlessPickle(DamagedPickle):
    """The pickle lists more than any model has."""


class HoldsCode(Exception):
    """The pickle asks for something that is no tensor.

    Attributes:
        name: dotted name of what it asks for.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class Name:
    """A class or function that a pickle names; it is never looked up."""

    dotted: str

    @property
    def is_of_script(self) -> bool:
        """Whether it is a class of TorchScript, the code of which lies in the archive."""
        return self.dotted.split(".", 1)[0] == _SCRIPT


@dataclass(frozen=True)
class Storage:
    """A run of numbers in one record.

    Attributes:
        key: name of the record.
        dtype: of the numbers.
        count: how many the pickle says there are.
    """

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A tensor by its description.

    Attributes:
        storage: the numbers, also of other tensors.
        dtype: of the tensor.
        offset: index of its first number in the storage.
        shape, stride: in numbers, one entry a dimension.
    """

    storage: Storage
    dtype: torch.dtype
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(eq=False)
class PickledObject:
    """An object, as the name of its class and its attributes."""

    kind: Name
    attributes: dict[str, Any] = field(default_factory=dict)


def read_pickled(content: bytes | IO[bytes]) -> Any:
    """Value of a pickle, made of containers, numbers, texts, `StoredTensor` and `PickledObject`.

    Args:
        content: the pickle, or a file in memory at its first byte, which is left behind its last one.

    Raises:
        DamagedPickle: not what torch writes; `EndlessPickle` where it lists too much.
        HoldsCode: it asks for something else than tensors.
    """
    reader = _Reader()
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    for number, (opcode, argument) in enumerate(read_opcodes(file)):
        if number > MOST_OPCODES:
            raise EndlessPickle(f"more than {MOST_OPCODES} opcodes")
        if opcode == "STOP":
            return reader.pop()
        reader.take(opcode, argument)
    raise DamagedPickle("no end")


_MARK = object()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_ARGUMENTS = frozenset((
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES",
))  # fmt: skip
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_CONTAINERS: dict[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list}


class _Reader:
    """A pickle machine that only ever makes data."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def take(self, opcode: str, argument: Any) -> None:
        """Interpret one opcode."""
        if opcode in _CONSTANTS:
            self._stack.append(_CONSTANTS[opcode])
        elif opcode in _ARGUMENTS:
            self._stack.append(argument)
        elif opcode in _CONTAINERS:
            self._stack.append(_CONTAINERS[opcode]())
        elif opcode in _TUPLES:
            self._stack.append(tuple(self.pop() for _ in range(_TUPLES[opcode]))[::-1])
        elif opcode in _ACTIONS:
            _ACTIONS[opcode](self, argument)
        elif opcode != "PROTO":
            raise DamagedPickle(f"the opcode {opcode}")

    def pop(self) -> Any:
        """Return the uppermost value, and take it off."""
        if not self._stack or self._stack[-1] is _MARK:
            raise DamagedPickle("a value is missing")
        return self._stack.pop()

    def _pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while self._stack:
            value = self._stack.pop()
            if value is _MARK:
                return values[::-1]
            values.append(value)
        raise DamagedPickle("a mark is missing")

    def _top(self, kind: type) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise DamagedPickle(f"no {kind.__name__}")
        return self._stack[-1]

    def _push_mark(self, _: Any) -> None:
        self._stack.append(_MARK)

    def _push_tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._pop_to_mark()))

    def _append(self, _: Any) -> None:
        value = self.pop()
        self._top(list).append(value)

    def _extend(self, _: Any) -> None:
        values = self._pop_to_mark()
        self._top(list).extend(values)

    def _set_item(self, _: Any) -> None:
        value, key = self.pop(), self.pop()
        _fill(self._top(dict), [key, value])

    def _set_items(self, _: Any) -> None:
        pairs = self._pop_to_mark()
        _fill(self._top(dict), pairs)

    def _remember(self, number: int) -> None:
        self._memo[number] = self._top(object)

    def _recall(self, number: int) -> None:
        if number not in self._memo:
            raise DamagedPickle(f"nothing is remembered as {number}")
        self._stack.append(self._memo[number])

    def _push_name(self, argument: str) -> None:
        name = Name(argument)
        if not (name.is_of_script or name.dotted in _BUILDERS or _is_of_tensors(name) or name.dotted in _HARMLESS):
            raise HoldsCode(name.dotted)
        self._stack.append(name)

    def _push_storage(self, _: Any) -> None:
        self._stack.append(_storage(self.pop()))

    def _make(self, _: Any) -> None:
        arguments, name = self.pop(), self.pop()
        self._stack.append(_made(name, arguments))

    def _make_instance(self, _: Any) -> None:
        _, name = self.pop(), self.pop()
        if not isinstance(name, Name):
            raise DamagedPickle("an object of no class")
        self._stack.append(PickledObject(name))

    def _build(self, _: Any) -> None:
        state = self.pop()
        made = self._top(object)
        if isinstance(made, PickledObject) and made.kind.is_of_script:
            if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
                raise HoldsCode(f"{made.kind.dotted}.__setstate__")
            made.attributes = state


_ACTIONS: dict[str, Callable[[_Reader, Any], None]] = {
    "MARK": _Reader._push_mark,
    "TUPLE": _Reader._push_tuple,
    "APPEND": _Reader._append,
    "APPENDS": _Reader._extend,
    "ADDITEMS": _Reader._extend,
    "SETITEM": _Reader._set_item,
    "SETITEMS": _Reader._set_items,
    "BINPUT": _Reader._remember,
    "LONG_BINPUT": _Reader._remember,
    "BINGET": _Reader._recall,
    "LONG_BINGET": _Reader._recall,
    "GLOBAL": _Reader._push_name,
    "BINPERSID": _Reader._push_storage,
    "REDUCE": _Reader._make,
    "NEWOBJ": _Reader._make_instance,
    "BUILD": _Reader._build,
}


def _fill(content: dict[Any, Any], pairs: list[Any]) -> None:
    if len(pairs) % 2:
        raise DamagedPickle("a key without a value")
    for key, value in zip(pairs[::2], pairs[1::2]):
        # To hash a deeply nested tuple would overflow the interpreter's own stack.
        if not isinstance(key, (str, int, float, bytes, type(None))):
            raise DamagedPickle(f"a {type(key).__name__} as a key")
        content[key] = value


def _is_of_tensors(name: Name) -> bool:
    """Whether it is the name of a storage, of a type of numbers, or of a typed list."""
    module, _, last = name.dotted.rpartition(".")
    is_dtype = module == "torch" and isinstance(vars(torch).get(last), torch.dtype)
    return is_dtype or module == _LISTS or (module in _STORAGE_MODULES and last in _STORAGES)


def _storage(identity: Any) -> Storage:
    """Read a persistent id: ``("storage", type, key, device, count)``, in old files with a sixth entry."""
    if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
        raise DamagedPickle("an identity of no storage")
    kind, key, count = identity[1], identity[2], identity[4]
    dtype = _STORAGES.get(kind.dotted.rpartition(".")[2]) if isinstance(kind, Name) else None
    if dtype is None or not isinstance(key, str) or not _are_sizes((count,)):
        raise DamagedPickle("a storage without type, key or size")
    return Storage(key, dtype, count)


def _made(name: Any, arguments: Any) -> Any:
    """Stand-in for the value of a call in a pickle; only builders of this module run.

    Raises:
        DamagedPickle: the call has no name or no arguments.
        HoldsCode: the name is not one that checkpoints need.
    """
    if not isinstance(name, Name) or not isinstance(arguments, tuple):
        raise DamagedPickle("a call of nothing")
    module = name.dotted.rpartition(".")[0]
    if name.dotted in _BUILDERS:
        return _BUILDERS[name.dotted](*arguments)
    if module == _LISTS:
        return arguments[0] if arguments else []
    if name.dotted in _HARMLESS:
        return PickledObject(name)
    raise HoldsCode(name.dotted)


def _are_sizes(numbers: Iterable[Any]) -> bool:
    return all(type(number) is int and 0 <= number < 2**62 for number in numbers)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *others: Any) -> StoredTensor:
    if not (isinstance(storage, Storage) and isinstance(shape, tuple) and isinstance(stride, tuple)):
        raise DamagedPickle("a tensor without storage, shape or stride")
    # The third of the others is the type, where the storage has none; else it is empty metadata.
    dtype = vars(torch).get(others[2].dotted.rpartition(".")[2]) if len(others) > 2 and _is_name(others[2]) else None
    tensor = StoredTensor(storage, dtype or storage.dtype, offset, shape, stride)
    _require_in_storage(tensor)
    return tensor


def _is_name(value: Any) -> bool:
    return isinstance(value, Name) and _is_of_tensors(value)


def _require_in_storage(tensor: StoredTensor) -> None:
    """Refuse a tensor that sticks out of its storage, or that is larger than it by repeating numbers."""
    if not _are_sizes((tensor.offset, *tensor.shape, *tensor.stride)) or len(tensor.shape) != len(tensor.stride):
        raise DamagedPickle("a shape of no numbers")
    count = math.prod(tensor.shape) if len(tensor.shape) <= _MOST_DIMENSIONS else 2**62
    last = tensor.offset + sum((size - 1) * step for size, step in zip(tensor.shape, tensor.stride)) if count else 0
    room_bytes = tensor.storage.count * tensor.storage.dtype.itemsize
    if max(count, last + 1 if count else 0) * tensor.dtype.itemsize > room_bytes:
        raise DamagedPickle("a tensor larger than its storage")


def _first(value: Any, *_: Any) -> Any:
    return value


def _ordered(pairs: Any = (), *_: Any) -> dict[Any, Any]:
    content: dict[Any, Any] = {}
    for pair in pairs:
        if not isinstance(pair, (tuple, list)):
            raise DamagedPickle("a dictionary of no pairs")
        _fill(content, list(pair))
    return content


def _of_type(builder: Any, _: Any, arguments: Any, *__: Any) -> Any:
    if not isinstance(builder, Name) or builder.dotted == "torch._tensor._rebuild_from_type_v2":
        raise DamagedPickle("a tensor of no type")
    return _made(builder, arguments)


_BUILDERS: dict[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch._tensor._rebuild_from_type_v2": _of_type,
    "collections.OrderedDict": _ordered,
    "collections.Counter": _first,
    "torch.Size": _first,
}
