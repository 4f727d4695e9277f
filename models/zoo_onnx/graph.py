"""Builds one ONNX graph. Names follow the exporter whose style is written."""
import numpy as np
import onnx
from onnx import TensorProto

from .tensors import BOOL, FLOAT, INT32, INT64, to_bytes

MS = "com.microsoft"


def attribute(name, value):
    a = onnx.AttributeProto(name=name)
    if isinstance(value, (bool, int, np.integer)):
        a.type, a.i = onnx.AttributeProto.INT, int(value)
    elif isinstance(value, float):
        a.type, a.f = onnx.AttributeProto.FLOAT, value
    elif isinstance(value, str):
        a.type, a.s = onnx.AttributeProto.STRING, value.encode()
    elif isinstance(value, (list, tuple)):
        a.type = onnx.AttributeProto.INTS
        a.ints.extend(int(v) for v in value)
    elif isinstance(value, TensorProto):
        a.type = onnx.AttributeProto.TENSOR
        a.t.CopyFrom(value)
    elif isinstance(value, onnx.GraphProto):
        a.type = onnx.AttributeProto.GRAPH
        a.g.CopyFrom(value)
    else:
        raise TypeError(f"attribute {name}: {type(value)}")
    return a


class Graph:
    """Nodes, initializers, inputs and outputs of a graph.

    `names` is "torch" (scoped names, Constant nodes), "genai" (scoped names, shared constants as initializers) or "flat"
    (numbered values, shared constants as initializers). `scope` is put before node names. `element` is the type of floats.
    """

    def __init__(self, names, data, element=FLOAT):
        self.names, self.data, self.element = names, data, element
        self.holder = onnx.ModelProto()      # the graph is built in its place: nothing is copied at the end
        self.proto = self.holder.graph
        self.nodes, self.initializers, self.inputs, self.outputs = self.proto.node, self.proto.initializer, self.proto.input, self.proto.output
        self.scope, self.used, self.known, self.number = "", {}, {}, 0
        self.parameters = 0

    # Names

    def unique(self, base):
        count = self.used.get(base, 0)
        self.used[base] = count + 1
        return f"{base}_{count}" if count else base

    def within(self, scope):
        """`with g.within("/model/layers.0"):` sets the scope of names."""
        return Scope(self, scope)

    # Nodes

    def op(self, kind, inputs, outputs=1, domain="", **attributes):
        """Adds a node. `outputs` is how many, or a list of names ("" for an output that is left out). Returns one name or a list."""
        if self.names == "flat":
            self.number += 1
            name = f"node_{kind}_{self.number}"
            made = lambda i: f"val_{self.number}" if i == 0 else f"val_{self.number}_{i}"
        else:
            name = self.unique(f"{self.scope}/{kind}")
            made = (lambda i: f"{name}_output_{i}") if self.names == "torch" else (lambda i: f"{name}/output_{i}")
        if isinstance(outputs, int):
            outputs = [made(i) for i in range(outputs)]
        else:
            outputs = [made(i) if o is None else o for i, o in enumerate([outputs] if isinstance(outputs, str) else outputs)]
        node = self.nodes.add(op_type=kind, name=name, domain=domain)
        node.input.extend(inputs)
        node.output.extend(outputs)
        node.attribute.extend(attribute(k, v) for k, v in attributes.items() if v is not None)
        return outputs[0] if len(outputs) == 1 else outputs

    # Constants

    def constant(self, array, element):
        array = np.asarray(array)
        value = TensorProto(data_type=element, dims=array.shape, raw_data=to_bytes(array, element))
        if self.names == "torch":
            return self.op("Constant", [], value=value)
        key = (element, array.shape, value.raw_data)
        if key not in self.known:
            kind = {INT64: "INT64", INT32: "INT32", BOOL: "BOOL"}.get(element, "FLOAT")
            text = np.array2string(array, separator=", ") if array.size <= 6 else f"table_{len(self.known)}"
            value.name = self.unique(f"/model/constants/{kind}/{text}" if self.names == "genai" else f"const_{len(self.known)}")
            self.initializers.append(value)
            self.known[key] = value.name
        return self.known[key]

    def ints(self, values):
        """An int64 constant: a list makes a vector, a number a scalar."""
        return self.constant(np.asarray(values, np.int64), INT64)

    def floats(self, values):
        return self.constant(np.asarray(values, np.float32), self.element)

    def weight(self, name, lazy, element=None, counted=True):
        """A parameter. A name that is known already is the same tensor and is not stored again."""
        if name in self.known:
            return name
        self.known[name] = name
        self.initializers.append(self.data.tensor(name, lazy, element or self.element))
        if counted:
            self.parameters += lazy.size
        return name

    # Interface

    def value(self, name, element, shape):
        info = onnx.ValueInfoProto(name=name)
        info.type.tensor_type.elem_type = element
        info.type.tensor_type.shape.SetInParent()
        for d in shape:
            dim = info.type.tensor_type.shape.dim.add()
            if isinstance(d, str):
                dim.dim_param = d
            else:
                dim.dim_value = int(d)
        return info

    def input(self, name, element, shape):
        self.inputs.append(self.value(name, element, shape))
        return name

    def output(self, name, element, shape):
        self.outputs.append(self.value(name, element, shape))
        return name

    def graph(self, name="main_graph"):
        self.proto.name = name
        return self.proto

    def model(self, opsets, ir_version, producer, version):
        m = self.holder
        m.ir_version, m.producer_name, m.producer_version = ir_version, producer, version
        for domain, number in opsets:
            m.opset_import.add(domain=domain, version=number)
        self.graph()
        return m

    # Small helpers that every style uses

    def cast(self, x, element):
        return self.op("Cast", [x], to=element)

    def dim(self, x, axis):
        """One dimension of x as a scalar."""
        return self.op("Gather", [self.op("Shape", [x]), self.ints(axis)], axis=0)

    def unsqueeze(self, x, *axes):
        return self.op("Unsqueeze", [x, self.ints(list(axes))])

    def shape_of(self, *dims):
        """A shape vector from numbers and scalar values, as traced code builds it."""
        parts = [self.ints([d]) if isinstance(d, int) else self.unsqueeze(d, 0) for d in dims]
        return self.op("Concat", parts, axis=0)

    def reshape(self, x, *dims):
        if all(isinstance(d, int) for d in dims):
            return self.op("Reshape", [x, self.ints(list(dims))])
        return self.op("Reshape", [x, self.shape_of(*dims)])

    def transpose(self, x, *perm):
        return self.op("Transpose", [x], perm=list(perm))

    def slice(self, x, axis, start, end, step=1):
        as_value = lambda v: self.ints([v]) if isinstance(v, int) else v
        return self.op("Slice", [x, as_value(start), as_value(end), self.ints([axis]), self.ints([step])])

    def range(self, start, end):
        as_value = lambda v: self.ints(v) if isinstance(v, int) else v
        return self.op("Range", [as_value(start), as_value(end), self.ints(1)])


class Scope:
    def __init__(self, graph, scope):
        self.graph, self.scope = graph, scope

    def __enter__(self):
        self.previous, self.graph.scope = self.graph.scope, self.scope

    def __exit__(self, *_):
        self.graph.scope = self.previous
