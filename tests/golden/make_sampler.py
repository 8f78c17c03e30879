"""The hierarchical sampler, written again in Python: which task, example and description every sequence of a step is.

    python3 make_sampler.py OUT_DIR

Philox4x32-10; stream 1<<56 + epoch shuffles the tasks (Fisher-Yates from the end), stream 2<<56 + step draws for each of the step's tasks
in turn: example, description, and one unused draw. 19 tasks, task i with 5+i training examples and 1+i%4 descriptions; 8 tasks a step, so
two steps an epoch and three tasks left over.
"""
import json, os, sys

M = 0xFFFFFFFF

def block(seed, stream, index):
    c = [index & M, index >> 32, stream & M, stream >> 32]
    k = [seed & M, seed >> 32]
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & M, (p >> 32) ^ c[3] ^ k[1], p & M]
        k = [(k[0] + 0x9E3779B9) & M, (k[1] + 0xBB67AE85) & M]
    return c

class Stream:
    def __init__(self, seed, stream):
        self.seed, self.stream, self.next = seed, stream, 0
    def below(self, n):
        while True:
            x = block(self.seed, self.stream, self.next >> 2)[self.next & 3]
            self.next += 1
            if x >= (1 << 32) % n:
                return x % n

tasks, size, steps, seed = [(5 + i, 1 + i % 4) for i in range(19)], 8, 12, 42
per_epoch, out = len(tasks) // size, []
for step in range(steps):
    order, r = list(range(len(tasks))), Stream(seed, (1 << 56) + step // per_epoch)
    for i in range(len(order) - 1, 0, -1):
        j = r.below(i + 1)
        order[i], order[j] = order[j], order[i]
    r, row = Stream(seed, (2 << 56) + step), []
    for t in order[step % per_epoch * size:][:size]:
        row.append([t, r.below(tasks[t][0]), r.below(tasks[t][1])])
        r.below(2)
    assert len({t for t, _, _ in row}) == size
    out.append(row)
json.dump(out, open(os.path.join(sys.argv[1], "sampler.json"), "w"))
