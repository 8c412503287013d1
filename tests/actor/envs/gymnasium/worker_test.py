"""The functions of worker.py that need neither Gymnasium nor an actor: worker_test.py DIRECTORY"""

import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv.pop(1))
import worker  # noqa: E402


class Options(unittest.TestCase):
    def test_values_have_the_types_that_they_look_like(self):
        said = ('a=1, b=-2.5,c=1e3,d=true,e=False,f=None,g=some text,h=,i=[1, 2.5, "x,y"],'
                'j={"k": [1]},l="4",m=x=y,n=0x10,o=nan,p=1_2')
        self.assertEqual(worker.options_of(said), {
            "a": 1, "b": -2.5, "c": 1000.0, "d": True, "e": False, "f": None, "g": "some text",
            "h": "", "i": [1, 2.5, "x,y"], "j": {"k": [1]}, "l": "4", "m": "x=y", "n": "0x10", "o": "nan", "p": "1_2"})
        self.assertIs(type(worker.options_of("a=1")["a"]), int)
        self.assertEqual(worker.options_of("  "), {})

    def test_quotes_may_hold_quotes_and_brackets(self):
        self.assertEqual(worker.options_of(r'a="\",]",b=2'), {"a": '",]', "b": 2})

    def test_what_is_wrong_is_named(self):
        for said in ("a", "a=1,", "=1", "a b=1", "a=[1", "a=1,a=1", "id=x", "autoreset=true"):
            with self.assertRaises(worker.Refused, msg=said) as refusal:
                worker.options_of(said)
            self.assertEqual(refusal.exception.code, worker.USAGE)


class Names(unittest.TestCase):
    def test_a_name_has_no_other_characters_and_fits(self):
        self.assertEqual(worker.name_of("my.module:Ünsafe env-v0", {}),
                         "gymnasium:my.module:_nsafe_env-v0")
        long = worker.name_of("x" * 200, {})
        self.assertEqual(len(long), 127)
        self.assertNotEqual(long, worker.name_of("x" * 201, {}))

    def test_options_are_part_of_it(self):
        plain = worker.name_of("A-v0", {})
        first = worker.name_of("A-v0", {"a": 1, "b": 2})
        self.assertEqual(first, worker.name_of("A-v0", {"b": 2, "a": 1, "render_mode": "human"}))
        self.assertNotEqual(first, worker.name_of("A-v0", {"a": 1, "b": 3}))
        self.assertEqual(plain, worker.name_of("A-v0", {"render_mode": "rgb_array"}))


class Words(unittest.TestCase):
    def test_an_error_is_one_line(self):
        self.assertEqual(worker.words_of(ValueError("two\n  lines")), "ValueError: two lines")
        self.assertEqual(worker.words_of(KeyError()), "KeyError")
        self.assertEqual(worker.words_of(worker.Wrong("no array")), "no array")

    def test_a_traceback_is_bounded(self):
        def dive(depth):
            if depth == 0:
                raise ValueError("deep")
            (dive, other)[depth % 2](depth - 1)

        def other(depth):
            dive(depth)
        try:
            dive(200)
        except ValueError as error:
            lines = worker.trace_of(error).split("\n")
        self.assertLessEqual(len(lines), worker.TRACEBACK_LINES)
        self.assertIn("lines …", "".join(lines))
        self.assertEqual(lines[-1], "ValueError: deep")

    def test_a_text_is_cut_between_characters(self):
        self.assertEqual(worker.cut("äöü", 6), "äö".encode())
        self.assertEqual(worker.cut("äöü", 7), "äöü".encode())

    def test_seeds_fit_into_32_bits_and_keep_all_64(self):
        self.assertEqual(worker.seed_of(5), 5)
        self.assertEqual(worker.seed_of(0x1234567800000000), 0x12345678)
        self.assertLess(worker.seed_of(2**64 - 1), 2**32)


unittest.main()
