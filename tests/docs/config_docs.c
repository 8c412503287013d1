/* Writes docs/config.md to stdout; with --check FILE, says whether FILE is what would be written.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config/config.h"
#include "common/fs.h"

enum { DOCS_BYTES_MAX = 1 << 20 };

/* The number of the first line that differs; 0: none does. */
static int first_difference(const char *a, const char *b)
{
    int line = 1;
    for (; *a && *a == *b; a++, b++)
        line += *a == '\n';
    return *a == *b ? 0 : line;
}

static int check(const char *path, const char *program)
{
    char *made = NULL;
    size_t made_bytes = 0;
    FILE *out = open_memstream(&made, &made_bytes);
    if (!out)
        return EXIT_FAILURE;
    config_write_docs(out);
    if (fclose(out) != 0)
        return EXIT_FAILURE;
    char *stored = NULL;
    size_t stored_bytes;
    Err err;
    int line = 0;
    if (fs_read_file(path, DOCS_BYTES_MAX, &stored, &stored_bytes, &err) != ERR_OK)
        fprintf(stderr, "%s\n", err.text);
    else
        line = first_difference(made, stored);
    bool current = stored && line == 0;
    if (!current)
        fprintf(stderr, "%s is not what the table of keys says (line %d); mend it with:\n%s > %s\n",
                path, line, program, path);
    free(made);
    free(stored);
    return current ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--check") == 0)
        return check(argv[2], argv[0]);
    config_write_docs(stdout);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
