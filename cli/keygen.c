/* polyak keygen: makes the key files of a learner, an actor, or a person. */
#include <stdio.h>
#include <string.h>

#include <zmq.h>

#include "cli/commands.h"
#include "cli/report.h"
#include "common/err.h"
#include "common/fs.h"
#include "common/keys.h"
#include "common/text.h"

static const char help[] =
    "Usage: polyak keygen NAME [--roles=ROLE,...] [--output=DIR]\n"
    "Makes a key: NAME.key, which is secret (mode 0600), and NAME.pub, which others may have.\n"
    "\n"
    "  --roles=ROLE,...  what the key may do at a learner that allows it:\n"
    "                    actor      send steps and take weights\n"
    "                    evaluator  run policies that the learner wants to know about\n"
    "                    observer   ask for the status\n"
    "                    operator   the same, and set keys and drain actors\n"
    "                    relay      speak for others, in the roles that this key has beside it\n"
    "                    Without roles it is a key for a learner.\n"
    "  --output=DIR      where the files go; made when missing (default: here)\n"
    "  --help            this text\n";

typedef struct Request {
    const char *name;
    const char *roles;
    const char *output;
    bool help;
} Request;

/* The value of a flag, "--flag=value" or "--flag value"; NULL when argv[*i] is another word. */
static int take_flag(const char *flag, int argc, char **argv, int *i, const char **value, Err *err)
{
    size_t length = strlen(flag);
    const char *word = argv[*i];
    if (strncmp(word, flag, length) != 0 || (word[length] != '\0' && word[length] != '='))
        return ERR_MISSING;
    if (*value)
        return err_set(err, ERR_USAGE, "%s may be given once", flag);
    if (word[length] == '=')
        *value = word + length + 1;
    else if (*i + 1 < argc)
        *value = argv[++*i];
    if (!*value || (*value)[0] == '\0')
        return err_set(err, ERR_USAGE, "%s needs a value", flag);
    return ERR_OK;
}

static int take_word(Request *request, int argc, char **argv, int *i, Err *err)
{
    char excerpt[48];
    int code = take_flag("--roles", argc, argv, i, &request->roles, err);
    if (code == ERR_MISSING)
        code = take_flag("--output", argc, argv, i, &request->output, err);
    if (code != ERR_MISSING)
        return code;
    const char *word = argv[*i];
    if (strcmp(word, "--help") == 0) {
        request->help = true;
        return ERR_OK;
    }
    text_excerpt(word, excerpt, sizeof excerpt);
    if (word[0] == '-')
        return err_set(err, ERR_USAGE, "unknown flag %s; polyak keygen --help lists all", excerpt);
    if (request->name)
        return err_set(err, ERR_USAGE, "unexpected \"%s\": one name is enough", excerpt);
    request->name = word;
    return ERR_OK;
}

static int parse(int argc, char **argv, Request *request, Err *err)
{
    for (int i = 1; i < argc && !request->help; i++) {
        int code = take_word(request, argc, argv, &i, err);
        if (code != ERR_OK)
            return code;
    }
    if (!request->help && !request->name)
        return err_set(err, ERR_USAGE,
                       "a name is missing: polyak keygen NAME [--roles=actor,…] [--output=DIR]");
    return ERR_OK;
}

static int make_keys(const Request *request, Err *err)
{
    const char *directory = request->output ? request->output : ".";
    unsigned roles = 0;
    SecretKey key = {.name = ""};
    char roles_text[KEY_ROLES_TEXT_BYTES];
    int code = keys_check_name(request->name, err);
    if (code == ERR_OK && request->roles)
        code = keys_parse_roles(request->roles, &roles, err);
    if (code == ERR_OK && request->output)
        code = fs_make_dirs(directory, err);
    if (code != ERR_OK)
        return code;
    snprintf(key.name, sizeof key.name, "%s", request->name);
    if (zmq_curve_keypair(key.public_text, key.secret_text) != 0)
        code = err_set(err, ERR_NET, "this ZeroMQ was built without CURVE: %s",
                       zmq_strerror(zmq_errno()));
    else
        code = keys_write_pair(directory, &key, roles, err);
    keys_wipe(&key);
    if (code != ERR_OK)
        return code;
    printf("%s/%s.key  secret: for --key of the program that it is made for\n", directory,
           request->name);
    if (roles)
        printf("%s/%s.pub  public, grants %s: for the learner's --allowed-keys directory\n",
               directory, request->name, keys_format_roles(roles, roles_text));
    else
        printf("%s/%s.pub  public, grants nothing: for --learner-key of those who dial in\n",
               directory, request->name);
    return ERR_OK;
}

int command_keygen(int argc, char **argv)
{
    Request request = {.name = NULL};
    Err err = {""};
    int code = parse(argc, argv, &request, &err);
    if (code == ERR_OK && request.help) {
        fputs(help, stdout);
        return EXIT_DONE;
    }
    if (code == ERR_OK)
        code = make_keys(&request, &err);
    if (code == ERR_OK)
        return EXIT_DONE;
    report_error("keygen", code, &err);
    return code == ERR_USAGE || code == ERR_EXISTS ? EXIT_USAGE : EXIT_FAILED;
}
