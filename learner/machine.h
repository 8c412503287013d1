/* What the bits of a training depend on beside its inputs: the program, its libraries, the kernels
 * that were chosen, threads and processor. Any thread. */
#ifndef POLYAK_LEARNER_MACHINE_H
#define POLYAK_LEARNER_MACHINE_H

#include <jansson.h>

/* This process, with a team of `threads`. A new reference; NULL when out of memory. */
json_t *machine_describe(int threads);

/* "isa: avx512 here, avx2 there; …" for what differs between two of them; empty when nothing does.
 */
void machine_difference(const json_t *here, const json_t *there, char *text, int text_bytes);

#endif
