/* Key files, public and secret: what stands in a directory that others may write to. */
#include <stdio.h>
#include <string.h>

#include "common/check.h"
#include "common/keys.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    PublicKey public_key, again;
    SecretKey secret;
    Err err = {""};
    int rc = keys_parse_public(text, size, "x", &public_key, &err);
    CHECK(rc == ERR_OK || err.text[0] != '\0');
    if (rc == ERR_OK) {
        /* What is read can be said again, and is then the same. */
        char file[512], roles[KEY_ROLES_TEXT_BYTES];
        CHECK(keys_check_name(public_key.name, NULL) == ERR_OK);
        keys_format_roles(public_key.roles, roles);
        int bytes = snprintf(file, sizeof file, "polyak-key 1 public\nname %s\n%s%s\npublic %s\n",
                             public_key.name, roles[0] ? "roles " : "", roles, public_key.text);
        CHECK(keys_parse_public(file, (size_t)bytes, "x", &again, NULL) == ERR_OK);
        CHECK(memcmp(&public_key, &again, sizeof again) == 0);
    }
    err.text[0] = '\0';
    rc = keys_parse_secret(text, size, "x", &secret, &err);
    CHECK(rc == ERR_OK || err.text[0] != '\0');
    if (rc == ERR_OK)
        CHECK(keys_check_name(secret.name, NULL) == ERR_OK &&
              strlen(secret.secret_text) == KEY_TEXT_CHARS);
    return 0;
}

size_t fuzz_seed(Rng *rng, uint8_t *input)
{
    static const char *const files[] = {
        "polyak-key 1 public\nname node7\nroles actor,evaluator\n"
        "public rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\n",
        "# a person\r\npolyak-key 1 public\r\nname ann\r\nroles operator,observer\r\n"
        "public JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6",
        "polyak-key 1 secret\nname learner\npublic rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\n"
        "secret JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6\n",
        "polyak-key 1 public\npublic rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7\nname learner\n",
    };
    const char *file = files[rng_below(rng, sizeof files / sizeof files[0])];
    return (size_t)snprintf((char *)input, FUZZ_INPUT_BYTES_MAX, "%s", file);
}
