"""The third count: MACs and bytes of one call, derived from the ONNX graph and the formats alone.

What comes from the graph: which products there are and their extents, the weights and tables that they read, keys and values that an
attention reads and appends, what crosses to the host, and the operands and results of every operation. What comes from NUMERICS: the bits
of a format (elements, one scale byte for each 32-block begun). What comes from the program, because the compiler decides it: which graph nodes
became operations of their own (the names that its commands carry), which weights stream, and by which columns.

A graph node that is no operation of its own has been fused into the next operation that its result reaches ("owner"). So

  macs         every MatMul, MatMulInteger and Conv, masked positions included; a product over a contraction of one is element-wise
  weights      sram: each product reads its stationary operand once; dram: rows taken from tables (of floats: in blocks, like any
               weight, and stored once where a product has the same table), and what streams;
               stash: every constant that enters an operation (gains, biases, rotary frequencies)
  kv           an attention reads its keys and values over the whole context, at their own number of heads; appending writes new rows only
  io           each input and output of the graph that is neither state nor mask, and the chosen ids
  activations  an operation reads each operand once and writes its result once; a product quantises its moving operand unless an earlier
               one has; an operation of n commands passes n - 1 results on in between

Everything is exact: the numbers are those of the metrics less the padding and the repeated reads that the program states.
"""
from collections import defaultdict

VIEWS = {"Reshape", "Unsqueeze", "Squeeze", "Identity", "Flatten"}
PRODUCTS = {"MatMul", "MatMulInteger", "Conv"}


class Formats:
    """weights: of float products and their tables ("mxint16", "mxfp6", ...), as they are stored; moving_bits, kv_bits: of an element of their moving operand, of a cache."""

    def __init__(self, weights, moving_bits, kv_bits):
        self.weights, self.moving_bits, self.kv_bits = weights, moving_bits, kv_bits

    @staticmethod
    def of_program(options, integer_model):
        """From the program's options, as NUMERICS chooses: float products of a plain int8 model in MXINT16, others in MXINT8."""
        weights = options.get("weights") or "auto"
        weights = weights if weights != "auto" else "mxint16" if integer_model else "mxint8"
        moving = options.get("activations") or ("mxint16" if weights == "mxint16" else "mxint8")
        kv = options.get("kv") or ("mxint16" if integer_model or weights == "mxint16" else "mxint8")
        return Formats(weights, 8 if moving == "mxint8" else 16, 8 if kv == "mxint8" else 16)


def blocks(n):
    return -(-n // 32)


def row_bytes(elements, bits):
    return elements * bits // 8 + blocks(elements)


def stationary_bytes(k, columns, format):
    if format == "int8":
        return k * columns
    bits = {"mxint4": 4, "mxint8": 8, "mxint16": 16, "mxfp4": 4, "mxfp6": 6, "mxfp8": 8}[format]
    return -(-k * columns * bits // 8) + blocks(k) * columns


class Counts:
    """Numbers by owner: macs, and bytes by (class, tier, "read" or "written")."""

    def __init__(self):
        self.macs = defaultdict(int)
        self.bytes = defaultdict(lambda: defaultdict(int))

    def add(self, owner, kind, tier, direction, number):
        if number:
            self.bytes[owner][kind, tier, direction] += number


class Derivation:
    def __init__(self, evaluation, formats, operations, logits, streamed):
        """operations: {name: {command: how many}}, in the program's order. logits: what leaves of an entry that takes several tokens, "last"
        row or "all" rows, though the id that follows is chosen from the last one; "own": the graph's, of an entry that takes one.
        streamed: {owner of a product: columns that come from DRAM in this call}."""
        self.graph, self.formats, self.streamed = evaluation, formats, streamed
        self.last_row, self.all_rows = logits == "last", logits == "all"
        self.operations = {name: sum(commands.values()) for name, commands in operations.items()}
        self.aliases = {}                  # Range: the name that the program gives it
        self._name_ranges(operations)
        self.counts = Counts()
        self.owners = {}
        self.attentions = set()            # owners
        self.state = set()                 # ids of tensors that are caches: pasts, and what is appended to them
        self.appends = defaultdict(int)    # owner: keys and values that it quantises into a cache, in bytes before
        self.quantised = set()             # ids of tensors that an earlier product has quantised
        self.held = {}                     # id of a tensor: its bytes, where the program holds less than the graph's shape
        self.sliced = {}                   # owner: bytes of the last row that is taken from its result
        self.last_rows = set()             # owners that compute the last row only
        # For loading, by weight: bytes that products read, that tables hold, and that this call streams.
        self.stationary, self.tables, self.moved, self.reader = {}, {}, {}, {}
        self.products = [n for n in evaluation.nodes if self._is_product(n)]

    # --- structure ----------------------------------------------------------------------------------------------------------

    def _is_product(self, node):
        if node.op not in PRODUCTS or node.outputs[0].constant:
            return False
        return node.op == "Conv" or node.inputs[0].shape[-1] > 1 or node.op == "MatMulInteger" or self._scores_of(node) is not None

    def _name_ranges(self, operations):
        """One Range may stand for several equal ones, and carry the name of what used another of them."""
        nodes = {n.name: n for n in self.graph.nodes}
        for name, commands in operations.items():
            node = nodes.get(name)
            if set(commands) != {"Iota"} or node is None or node.op == "Range":
                continue
            for tensor in node.inputs:
                origin = self.root(tensor).producer
                if origin is not None and origin.op == "Range" and self._readers(origin.outputs[0]) - {name}:
                    self.aliases[origin.name] = name
                    self.operations[origin.name] = self.operations.pop(name)
                    break

    def owner(self, node):
        """The operation that a node became part of: itself, or the first that its results reach. None when they reach none."""
        if node not in self.owners:
            if node.name in self.operations:
                self.owners[node] = node.name
            else:
                self.owners[node] = None
                found = {self.owner(c) for t in node.outputs for c in t.consumers} - {None}
                self.owners[node] = found.pop() if len(found) == 1 else tuple(sorted(self._flat(found))) if found else None
        return self.owners[node]

    @staticmethod
    def _flat(owners):
        return {name for o in owners for name in ((o,) if isinstance(o, str) else o)}

    def only_owner(self, node):
        owner = self.owner(node)
        assert isinstance(owner, str), f"{node} belongs to no single operation: {owner}"
        return owner

    @staticmethod
    def _scores_of(node):
        """For the product of probabilities and values: the product of queries and keys that its probabilities come from."""
        if node.op != "MatMul" or node.inputs[0].constant or node.inputs[1].constant:
            return None
        tensor = node.inputs[0]
        while tensor.producer is not None and tensor.producer.op in {"Cast", "Identity", "Where", "Softmax"}:
            softmax = tensor.producer.op == "Softmax"
            tensor = tensor.producer.inputs[1 if tensor.producer.op == "Where" and tensor.producer.inputs[1].producer else 0]
            if softmax:
                break
        else:
            return None
        work, seen = [tensor], set()
        while work:  # through scale and mask to the one product whose shape the scores have
            tensor = work.pop()
            producer = tensor.producer
            if producer is None or id(tensor) in seen:
                continue
            seen.add(id(tensor))
            if producer.op == "MatMul" and not producer.inputs[0].constant and not producer.inputs[1].constant:
                return producer
            if producer.op in {"Add", "Mul", "Div", "Where", "Cast", "Identity", "Tanh"}:
                work.extend(t for t in producer.inputs if t.shape == tensor.shape)
        return None

    def stored_rows(self, tensor):
        """The keys or values as they are stored: back through what was fused into the attention, which is views, repetition for grouped
        heads, transposition and scaling by a number."""
        while tensor.producer is not None and tensor.producer.name not in self.operations:
            node = tensor.producer
            if node.op in VIEWS | {"Transpose", "Expand", "Cast"}:
                tensor = node.inputs[0]
            elif node.op in {"Mul", "Div"} and any(self.is_number(t) for t in node.inputs):
                tensor = next(t for t in node.inputs if not self.is_number(t))
            else:
                break
        return tensor

    @staticmethod
    def root(tensor):
        """Back through views and transpositions: two layouts of one tensor have one root."""
        while tensor.producer is not None and tensor.producer.op in VIEWS | {"Transpose"}:
            tensor = tensor.producer.inputs[0]
        return tensor

    @staticmethod
    def is_number(tensor):
        """A scale that is known before any call."""
        return tensor.elements == 1 and tensor.fixed

    @staticmethod
    def appended(tensor):
        """The new rows where `tensor` is a past grown by them, else None."""
        node = tensor.producer
        if node is None or node.op != "Concat" or len(node.inputs) != 2 or node.inputs[0].producer is not None or node.inputs[0].constant:
            return None
        return node.inputs[1]

    # --- the count ----------------------------------------------------------------------------------------------------------

    def run(self):
        for node in self.products:
            scores = self._scores_of(node)
            if scores is not None:
                self._attention(scores, node)
        order = {name: i for i, name in enumerate(self.operations)}
        for node in sorted(self.products, key=lambda n: order[self.only_owner(n)]):
            if self.only_owner(node) not in self.attentions:
                self._linear(node)
        multiplied = {self.owner(n) for n in self.products}
        for node in self.graph.nodes:
            if node.name in self.operations and node.name not in multiplied:
                self._vector(node)
        self._interface()
        return self.counts

    @staticmethod
    def _weight_name(tensor):
        """The initializer that a stationary operand is folded from."""
        while tensor.producer is not None and tensor.producer.inputs:
            tensor = max(tensor.producer.inputs, key=lambda t: t.elements if t is not None else -1)
        return tensor.name

    def _rows(self, node):
        """Rows of a product that are computed: all, or the last where only that row of logits leaves the card."""
        x = node.inputs[0]
        rows = x.elements // x.shape[-1]
        return 1 if self.last_row and self._makes_logits(node) else rows

    def _makes_logits(self, node):
        tensor = node.outputs[0]
        logits = self.graph.outputs.get("logits")
        while tensor is not logits and len(tensor.consumers) == 1 and tensor.consumers[0].op in VIEWS | {"Cast"}:
            tensor = tensor.consumers[0].outputs[0]
        return logits is not None and tensor is logits

    def _attention(self, scores, values):
        owner = self.only_owner(values)
        assert self.only_owner(scores) == owner, f"{scores} and {values} are not one operation"
        self.attentions.add(owner)
        q, o = scores.inputs[0], values.outputs[0]
        self.counts.macs[owner] += scores.outputs[0].elements * q.shape[-1] + values.outputs[0].elements * values.inputs[0].shape[-1]
        for tensor, size in ((scores.inputs[1], q.shape[-1]), (values.inputs[1], o.shape[-1])):
            stored = self.stored_rows(tensor)
            new = self.appended(stored)
            row = row_bytes(size, self.formats.kv_bits)
            self.state.add(id(self.root(stored)))
            self.counts.add(owner, "kv", "stash", "read", stored.elements // size * row)
            if new is not None:
                self.state.add(id(stored.producer.inputs[0]))
            if stored.producer is not None:  # else the cache as an earlier call left it
                source = stored if new is None else new
                cached = new is not None
                writer = stored.producer if new is None or stored.producer.name in self.operations else new.producer
                for present in self.graph.outputs.values():  # keys leave in the cache's layout, and enter the product in another
                    if self.root(present) is self.root(stored) and present.producer is not None and present.producer.name in self.operations:
                        writer, cached = present.producer, True
                self.counts.add(owner if not cached else self._appender(writer), "kv", "stash", "written", source.elements // size * row)
                if not cached:  # the attention quantises for itself
                    self._moves(owner, source.bytes, 0)
                else:
                    self.appends[self._appender(writer)] += source.bytes
        self._moves(owner, q.bytes, o.bytes)

    def _appender(self, node):
        """The operation whose result goes into a cache, seen from a node behind it."""
        while node.name not in self.operations:
            node = next(t for t in node.inputs if not t.fixed).producer
        return node.name

    def _linear(self, node):
        owner = self.only_owner(node)
        w = node.inputs[1]
        assert w.constant, f"{node}: a product of two activations that is no attention"
        if node.op == "Conv":
            columns, k, rows = w.shape[0], w.elements // w.shape[0], node.outputs[0].elements // w.shape[0]
            assert node.attributes.get("group", 1) == 1, f"{node}: groups"
        else:
            k, columns, rows = w.shape[-2], w.shape[-1], self._rows(node)
        format = "int8" if node.op == "MatMulInteger" else "mxint16" if node.op == "Conv" else self.formats.weights
        self.counts.macs[owner] += rows * k * columns
        self.counts.add(owner, "weights", "sram", "read", stationary_bytes(k, columns, format))
        if node.op == "Conv":
            self._moves(owner, node.inputs[0].bytes, node.outputs[0].bytes)
            for bias in node.inputs[2:]:
                self.counts.add(owner, "weights", "stash", "read", bias.bytes)
        else:
            self._moving(owner, node, format, rows, k, columns)
        moved = stationary_bytes(k, self.streamed.get(owner, 0), format)
        weight = self._weight_name(w)
        self.stationary[weight] = stationary_bytes(k, columns, format)
        self.moved[weight] = moved
        self.reader[weight] = owner
        self.counts.add(owner, "weights", "dram", "read", moved)
        self.counts.add(owner, "weights", "sram", "written", moved)

    def _moves(self, owner, read, written):
        self.counts.add(owner, "activations", "stash", "read", read)
        self.counts.add(owner, "activations", "stash", "written", written)

    def _moving(self, owner, node, format, rows, k, columns):
        """A product's moving operand and result. Quantised once for all products that read it, in the products' element width."""
        x = node.inputs[0]
        while x.producer is not None and x.producer.op in VIEWS | {"Cast"} and x.producer.name not in self.operations:
            x = x.producer.inputs[0]
        if format == "int8":  # with its scale and zero point
            return self._moves(owner, rows * k + 5, rows * columns * 4)
        row = row_bytes(k, self.formats.moving_bits)
        if id(x) not in self.quantised:
            self.quantised.add(id(x))
            self._moves(owner, rows * k * 4, rows * row)
        self._moves(owner, rows * row, rows * columns * 4)
        if self._makes_logits(node):
            if "next_ids" in self.operations:
                chosen = 1 if self.all_rows else rows
                if self.all_rows:  # the last row, taken out
                    self._moves(owner, columns * 4, columns * 4)
                self._moves(owner, chosen * columns * 4, chosen * 4)
            if self.last_row:
                self._narrow(x)

    def _narrow(self, tensor):
        """Where the last row is taken: before everything that works row by row on one operand."""
        row = tensor.shape[-1] * 4
        while True:
            node = tensor.producer
            operands = [t for t in self._operands(node)[0] if not t.fixed]
            if len(operands) != 1:
                break
            self.last_rows.add(node.name)
            tensor = operands[0]
        self.sliced[node.name] = row

    def _operands(self, node):
        """What enters an operation: results of other operations, inputs and constants, through the nodes fused into it; and whether
        there are such nodes, views aside."""
        found, work, seen, fused = {}, [t for t in node.inputs if t is not None], set(), False
        while work:
            tensor = work.pop()
            if id(tensor) in seen:
                continue
            seen.add(id(tensor))
            producer = tensor.producer
            if tensor.fixed or producer is None or producer.name in self.operations:
                found[id(tensor)] = tensor
            elif producer.op != "Shape":
                fused = fused or producer.op not in VIEWS | {"Cast"}
                work.extend(t for t in producer.inputs if t is not None)
        return list(found.values()), fused

    def _repeats(self, tensor):
        """How often a tensor repeats what it was concatenated from: rotary tables hold each angle for both halves."""
        times = 1
        while tensor.producer is not None and tensor.producer.name not in self.operations:
            node = tensor.producer
            if node.op == "Concat" and len({id(self.root(t)) for t in node.inputs}) == 1:
                times *= len(node.inputs)
            elif node.op not in VIEWS:
                break
            tensor = node.inputs[0]
        return times

    def _vector(self, node):
        """An operation of the vector unit."""
        owner, out = self.aliases.get(node.name, node.name), node.outputs[0]
        size = lambda t: self.held.get(id(t), t.bytes)
        if owner in self.appends and self.appended(out) is not None:
            return self._moves(owner, self.appends[owner], 0)
        gather = node
        if node.op == "DequantizeLinear" and node.inputs[0].producer is not None and node.inputs[0].producer.name not in self.operations:
            gather = node.inputs[0].producer  # rows of integers that a product has as floats: they come from its weight
        if gather.op == "Gather" and gather.inputs[0].constant and not gather.inputs[1].constant:
            table = gather.inputs[0]
            row = out.elements * min(4, table.dtype.itemsize)
            if len(table.shape) == 2 and out.dtype.kind == "f" and table.elements > 4096:  # an embedding, in the weights' format
                width = table.shape[1]
                row = out.elements // width * stationary_bytes(width, 1, self.formats.weights)
                self.tables[table.name] = stationary_bytes(width, table.shape[0], self.formats.weights)
            elif len(table.shape) > 1:
                self.tables[table.name] = table.bytes
            self.counts.add(owner, "weights", "dram" if len(table.shape) > 1 else "stash", "read", row)
            return self._moves(owner, gather.inputs[1].bytes, out.bytes)
        operands, fused = self._operands(node)
        for tensor in operands:  # a single number is an attribute of a fused operation, an operand of a plain one
            nothing = node.op == "InstanceNormalization" and tensor is node.inputs[2] and not tensor.value.any()
            floating = tensor.dtype.kind == "f" or node.op == "DequantizeLinear"
            if tensor.fixed and floating and not nothing and (tensor.elements > 1 or not fused):
                self.counts.add(owner, "weights", "stash", "read", 4 * tensor.elements)
        written = sum(t.bytes for t in node.outputs)
        repeats = self._repeats(node.inputs[0]) if len(node.inputs) == 1 else 1
        if repeats > 1:
            written //= repeats
            self.held[id(out)] = written
        read = out.bytes if node.op == "Slice" else sum(size(t) for t in operands if not t.fixed)
        if owner in self.last_rows:
            rows = out.elements // out.shape[-1]
            read, written = read // rows, written // rows
        self._moves(owner, read, written)
        between = self.operations[node.name] - 1
        if owner in self.appends:
            self._moves(owner, self.appends[owner], 0)
            between -= 1
        if owner in self.sliced:
            self._moves(owner, self.sliced[owner], self.sliced[owner])
            between -= 1
        self._moves(owner, between * written, between * written)

    def _interface(self):
        """What crosses to the host. The rest of the interface must be state, or reach nothing but masks and shapes."""
        for tensor in self.graph.inputs.values():
            if tensor.name in self.operations:
                for tier, direction in (("host", "read"), ("stash", "written")):
                    self.counts.add(tensor.name, "io", tier, direction, tensor.bytes)
            else:
                readers = self._readers(tensor)
                assert readers <= self.attentions | {None} or id(tensor) in self.state, f"input '{tensor.name}' reaches {readers - self.attentions} but is not fed"
        for name, tensor in self.graph.outputs.items():
            rows = tensor.elements // tensor.shape[-1] if tensor.shape else 1
            wanted = 1 if name == "logits" and self.last_row else rows
            if name in self.operations:
                self._leaves(name, tensor.bytes // max(rows, 1) * wanted)
                if name == "logits":
                    self._leaves("next_ids", 4 * (1 if self.all_rows else wanted))
            else:
                root = self.root(tensor)
                assert id(root) in self.state or root.producer is None or root.elements == 0, f"output '{name}' is neither state nor written"

    def _leaves(self, name, number):
        self.counts.add(name, "io", "stash", "read", number)
        self.counts.add(name, "io", "host", "written", number)

    def _readers(self, tensor):
        """The operations that a tensor's elements reach first; its shape does not count."""
        owners = set()
        for node in tensor.consumers:
            if node.op == "Shape" or node.outputs[0].constant:
                continue
            if node.name in self.operations:
                owners.add(node.name)
            else:
                for output in node.outputs:
                    owners |= self._readers(output)
        return owners
