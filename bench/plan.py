#!/usr/bin/env python3
"""Says on paper what a learner on a larger machine carries: the formulas of docs/scaling.md with
constants that were measured, as Markdown tables.

    bench/plan.py [--cores 64] [--gbit 25] [--segment-us 10] [--ns-per-byte 1.8] [OPTION...]

--segment-us and --ns-per-byte are what a segment costs the learner: a line through `learner_cpu_us` of
`polyak bench ingest --mode log` with small and with large segments. All that one thread of the
learner does for them is taken to be all of it, so the figures are on the safe side.
"""

import dataclasses
import sys

from scaling import Parser, table

SEGMENT_FRAME = 40  # bytes of a Segment beside its columns
ACK_FRAME, HEARTBEAT_FRAME, WEIGHTS_FRAME = 23, 26, 40
ZMTP_SMALL, ZMTP_LARGE = 2, 9  # framing of a message up to 255 bytes, and of a larger one
PACKET, PACKET_DATA = 90, 1448  # Ethernet with preamble and gap, IP and TCP with timestamps; data in one


@dataclasses.dataclass
class Task:
    name: str
    obs_dim: int
    act_dim: int
    hidden: tuple

    def parameters(self):
        sizes = (self.obs_dim, *self.hidden, self.act_dim)
        return sum((a + 1) * b for a, b in zip(sizes, sizes[1:]))


TASKS = (Task("pendulum", 3, 1, (64, 64)), Task("HalfCheetah", 17, 6, (256, 256)),
         Task("Humanoid", 348, 17, (256, 256)))


def number(value):
    """Three digits are more than a plan knows."""
    value = float(f"{value:.3g}")
    return f"{value:,.0f}" if value >= 100 else f"{value:g}"


def on_wire(frame_bytes):
    """With framing and packets, when it travels alone."""
    framed = frame_bytes + (ZMTP_SMALL if frame_bytes < 256 else ZMTP_LARGE)
    return framed + PACKET * -(-framed // PACKET_DATA)


def segment_frame(task, steps):
    return 4 * ((steps + 1) * task.obs_dim + steps * task.act_dim + steps) + SEGMENT_FRAME


def steps_of_segment(args):
    """It closes when it is full, or for its age."""
    return max(1, min(args.segment_steps, int(args.flush_ms / args.step_ms)))


def learner_us(args, frame_bytes):
    return args.segment_us + frame_bytes * args.ns_per_byte / 1e3


def ingest_row(args, task):
    steps = steps_of_segment(args)
    frame = segment_frame(task, steps)
    link_bytes = args.gbit * 1e9 / 8
    by_link = link_bytes / on_wire(frame) * steps
    by_thread = 1e6 / learner_us(args, frame) * steps
    carried = min(by_link, by_thread)
    actors = carried * args.step_ms / 1e3
    return (task.name, steps, number(on_wire(frame) / steps), number(by_link), number(by_thread),
            "its thread" if by_thread < by_link else "the link", number(actors),
            number(actors * args.kb_per_actor / 1024))


def broadcast_row(args, task, subscribers):
    frame = 4 * task.parameters() + WEIGHTS_FRAME
    wanted = 1000 / args.publish_ms * subscribers * on_wire(frame)
    allowed = min(wanted, args.weights_mb * 1e6)
    interval_ms = 1000 * subscribers * on_wire(frame) / allowed
    link_ms = 1000 * subscribers * on_wire(frame) / (args.gbit * 1e9 / 8)
    copy_ms = subscribers * frame / args.copy_gb / 1e6
    return (task.name, f"{subscribers:,}", number(frame / 1e3), number(wanted / 1e6),
            number(interval_ms), number(link_ms), number(copy_ms))


def overhead_row(args, actors):
    """What goes to and from each actor whatever it does: heartbeats and acknowledgements."""
    segments_per_s = 1000 / args.step_ms / steps_of_segment(args)
    up = on_wire(HEARTBEAT_FRAME) * 1000 / args.heartbeat_ms
    down = on_wire(ACK_FRAME) * (1000 / args.heartbeat_ms + segments_per_s * args.acks_per_segment)
    messages = actors * (1000 / args.heartbeat_ms * 2 + segments_per_s * (1 + args.acks_per_segment))
    return (f"{actors:,}", number(actors * up / 1e6), number(actors * down / 1e6),
            number(messages), f"{2 * actors:,}", number(actors * args.kb_per_actor / 1024))


def show(args):
    steps = steps_of_segment(args)
    print(f"A learner with {args.gbit:g} Gbit/s; a step takes {args.step_ms:g} ms, a segment has "
          f"{steps} of them; a segment costs {args.segment_us:g} µs and {args.ns_per_byte:g} ns a "
          "byte.")
    table("What comes in", ("task", "steps a segment", "bytes a step on the wire",
                            "env steps/s by the link", "by one thread", "the limit",
                            "actors at the limit", "MB for their connections"),
          [ingest_row(args, task) for task in TASKS])
    table("What goes out, as weights",
          ("task", "subscribers", "KB a version", f"MB/s at {args.publish_ms:g} ms",
           f"interval ms with {args.weights_mb:g} MB/s", "ms of the link for one version",
           "ms of one thread for it"),
          [broadcast_row(args, task, subscribers) for task in TASKS
           for subscribers in (64, 2000, 20000)])
    table("What each actor takes beside that",
          ("actors", "MB/s up", "MB/s down", "messages/s", "connections", "MB"),
          [overhead_row(args, actors) for actors in (512, 2000, 20000)])
    updates = args.updates_per_s
    print(f"\nAt one update for each env step and {number(updates)} updates/s the run takes "
          f"{number(updates)} env steps/s: {number(updates * args.step_ms / 1e3)} actors, however "
          f"many more could be connected. {args.cores} cores help that as far as an update has work "
          "for them (docs/update.md).")


def parse():
    parser = Parser(prog="plan.py", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--cores", type=int, default=64, help="of the learner's machine (default 64)")
    add("--gbit", type=float, default=25, help="per second, of its link (default 25)")
    add("--step-ms", type=float, default=50, help="time of an env step (default 50)")
    add("--segment-steps", type=int, default=64, help="default 64")
    add("--flush-ms", type=float, default=1000, help="segment_flush_ms (default 1000)")
    add("--segment-us", type=float, default=10, help="CPU time of a segment (default 10)")
    add("--ns-per-byte", type=float, default=1.8, help="and of each byte of it (default 1.8)")
    add("--kb-per-actor", type=float, default=100,
        help="of the learner's memory, and the kernel's, for an actor (default 100)")
    add("--acks-per-segment", type=float, default=1.9, help="default 1.9, that of 1,000 actors")
    add("--heartbeat-ms", type=float, default=1000, help="default 1000")
    add("--publish-ms", type=float, default=20, help="publish_interval_ms (default 20)")
    add("--weights-mb", type=float, default=125, help="weights_bytes_per_s_max (default 125)")
    add("--copy-gb", type=float, default=1.0,
        help="GB/s that one thread of ZeroMQ writes to sockets (default 1)")
    add("--updates-per-s", type=float, default=10000, help="of the trainer (default 10000)")
    args = parser.parse_args()
    if any(value <= 0 for value in vars(args).values()):
        parser.error("all values are above 0")
    return args


if __name__ == "__main__":
    show(parse())
    sys.exit(0)
