"""Writes ONNX files of well-known transformer models, with their true shapes or small, in the styles of real exporters.

catalogue.py   the models: shapes, constants, how each is scaled down, config.json
tensors.py     arrays that are made only when they are written; quantisation; the file of external data
storage.py     quantised weights in a graph
graph.py       builds an ONNX graph node by node
rope.py        frequencies and tables of rotary embeddings
primitives.py  parts of a model in primitive operators, as exporters that trace produce them
decoder.py     what all decoder language models have in common; optimum.py, genai.py and standard.py are its three styles
experts.py     mixtures of experts in each style; latent.py: attention over a latent cache
blocks.py      layers of the other families: gpt2.py, bert.py, whisper.py
cli.py         the command line of models/zoo
"""
