/* Asks Python for the environments that Gymnasium knows. */
#include <stdlib.h>
#include <string.h>

#include "cli/child.h"
#include "cli/envs/envs.h"

enum {
    ANSWER_MS = 20000, /* the first import after an installation takes seconds */
    END_MS = 5000,
    ANSWER_BYTES_MAX = 1 << 20,
};

/* Making all environments to look at their spaces would take many seconds. Whether the package that
 * one stands on is there is known without. What modules print must not get into the answer. */
static const char script[] =
    "import importlib.util, json, sys\n"
    "answer, sys.stdout = sys.stdout, sys.stderr\n"
    "NEEDS = {'box2d': 'Box2D', 'mujoco': 'mujoco', 'phys2d': 'jax', 'tabular': 'jax'}\n"
    "def lacks(package):\n"
    "    try:\n"
    "        return package if importlib.util.find_spec(package) is None else None\n"
    "    except (ImportError, ValueError):\n"
    "        return None\n"
    "try:\n"
    "    import gymnasium\n"
    "except ImportError as error:\n"
    "    print(json.dumps({'python': sys.executable, 'problem': str(error)}), file=answer)\n"
    "    sys.exit()\n"
    "newest = {}\n"
    "for spec in gymnasium.registry.values():\n"
    "    entry = spec.entry_point\n"
    "    if entry is None or getattr(entry, '__name__', '').startswith('_raise'):\n"
    "        continue\n"
    "    key = (spec.namespace, spec.name)\n"
    "    if key not in newest or (spec.version or 0) > (newest[key].version or 0):\n"
    "        newest[key] = spec\n"
    "groups = {}\n"
    "for spec in newest.values():\n"
    "    entry = spec.entry_point\n"
    "    module = entry if isinstance(entry, str) else getattr(entry, '__module__', '')\n"
    "    path = module.split(':')[0].split('.')\n"
    "    own = path[:2] == ['gymnasium', 'envs'] and len(path) > 2\n"
    "    name = path[2] if own else path[0]\n"
    "    package = NEEDS.get(name) if own else name\n"
    "    group = groups.setdefault(name, {'lacks': package and lacks(package),\n"
    "                                     'environments': []})\n"
    "    group['environments'].append(spec.id)\n"
    "print(json.dumps({'python': sys.executable, 'version': gymnasium.__version__,\n"
    "                  'groups': groups}), file=answer)\n";

static int parse(const char *text, json_t **registry, Err *err)
{
    json_error_t error;
    json_t *answer = json_loads(text, 0, &error);
    const char *problem = json_string_value(json_object_get(answer, "problem"));
    const char *python = json_string_value(json_object_get(answer, "python"));
    int code = ERR_OK;
    if (problem && python)
        code = err_set(err, ERR_MISSING,
                       "%.200s cannot import gymnasium (%.100s): run scripts/setup.sh --mujoco and "
                       "use --python .venv/bin/python, or name another Python that has it",
                       python, problem);
    else if (!python || !json_is_string(json_object_get(answer, "version")) ||
             !json_is_object(json_object_get(answer, "groups")))
        code = err_set(err, ERR_IO, "Python's answer cannot be read: %.100s", error.text);
    if (code)
        json_decref(answer);
    else
        *registry = answer;
    return code;
}

int gymnasium_registry(const Config *config, json_t **registry, Err *err)
{
    Child child;
    char *text = NULL;
    char python[CONFIG_TEXT_MAX + 1], code_text[sizeof script];
    char option[] = "-c";
    memcpy(python, config->python, sizeof python);
    memcpy(code_text, script, sizeof script);
    char *const args[] = {python, option, code_text, NULL};
    int code = child_start(&child, args, CHILD_IS_READ, err);
    if (code == ERR_MISSING)
        return err_set(err, ERR_MISSING,
                       "there is no Python %.200s: install Python, or name one that has gymnasium, "
                       "as in --python .venv/bin/python",
                       config->python);
    if (code)
        return code;
    code = child_read(&child, ANSWER_BYTES_MAX, ANSWER_MS, &text, err);
    if (!code)
        code = child_end(&child, END_MS, err);
    if (!code)
        code = parse(text, registry, err);
    child_kill(&child);
    free(text);
    return code;
}
