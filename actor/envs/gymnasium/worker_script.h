/* worker.py, as it is in the program: made by embed.cmake, so that no file has to be found. */
#ifndef POLYAK_ACTOR_ENVS_GYMNASIUM_WORKER_SCRIPT_H
#define POLYAK_ACTOR_ENVS_GYMNASIUM_WORKER_SCRIPT_H

extern const unsigned char worker_script[];
extern const unsigned worker_script_bytes;

#endif
