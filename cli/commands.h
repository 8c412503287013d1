/* The subcommands of `polyak`. Each gets its own command line, argv[0] being the subcommand's name,
 * and returns the exit code of the program: 0 done, 1 failed at run time, 2 bad usage. Progress and
 * logs go to stderr; results go to stdout, with --json as one JSON object on the last line. */
#ifndef POLYAK_CLI_COMMANDS_H
#define POLYAK_CLI_COMMANDS_H

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

int command_train(int argc, char **argv);
int command_eval(int argc, char **argv);
int command_status(int argc, char **argv);
int command_set(int argc, char **argv);
int command_drain(int argc, char **argv);
int command_bench(int argc, char **argv);
int command_rerun(int argc, char **argv);
int command_inspect(int argc, char **argv);
int command_keygen(int argc, char **argv);
int command_envs(int argc, char **argv);

#endif
