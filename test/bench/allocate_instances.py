#!/usr/bin/env python3
"""Writes allocation problems that are known to fit exactly: allocate_instances.py DIR [SEED].

A rectangle of time by capacity is cut into buffers by straight cuts. `cut` keeps them all, so that every instant is full;
`sparse` leaves out a few in a hundred, as in the traces of networks, where no order says where the waste belongs.
File names are NAME.CAPACITY.csv, as those of google/minimalloc."""
import os
import random
import sys


def cut(rng, count, times, capacity, least_time, least_size):
    pieces = [(0, times, 0, capacity)]
    while len(pieces) < count:
        # The largest of three, so that buffers differ in size by orders of magnitude but few are slivers.
        i = max(rng.sample(range(len(pieces)), min(len(pieces), 3)),
                key=lambda k: (pieces[k][1] - pieces[k][0]) * (pieces[k][3] - pieces[k][2]))
        left, right, low, high = pieces[i]
        if rng.random() < 0.5:
            if right - left >= 2 * least_time:
                middle = rng.randint(left + least_time, right - least_time)
                pieces[i] = (left, middle, low, high)
                pieces.append((middle, right, low, high))
        elif high - low >= 2 * least_size:
            middle = rng.randint(low // least_size + 1, high // least_size - 1) * least_size
            pieces[i] = (left, right, low, middle)
            pieces.append((left, right, middle, high))
    return pieces


def write(folder, name, capacity, pieces, rng):
    rng.shuffle(pieces)
    with open(os.path.join(folder, f"{name}.{capacity}.csv"), "w") as file:
        file.write("id,lower,upper,size\n")
        for i, (left, right, low, high) in enumerate(pieces):
            file.write(f"{i},{left},{right},{high - low}\n")


def main():
    folder = sys.argv[1]
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    os.makedirs(folder, exist_ok=True)
    write(folder, "cut-60", 4096, cut(rng, 60, 100, 4096, 1, 8), rng)
    for count in (150, 250, 400):
        write(folder, f"cut-{count}", 1048576, cut(rng, count, 1000, 1048576, 1, 1024), rng)
    for count in (100, 190, 290):
        pieces = [p for p in cut(rng, count, 120, 1048576, 1, 2048) if rng.random() < 0.97]
        write(folder, f"sparse-{count}", 1048576, pieces, rng)


main()
