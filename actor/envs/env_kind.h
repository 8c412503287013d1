/* How an EnvKind comes to be: from a backend that has opened an environment. For env_open.c, and
 * for tests that bring a backend of their own. */
#ifndef POLYAK_ACTOR_ENVS_ENV_KIND_H
#define POLYAK_ACTOR_ENVS_ENV_KIND_H

#include "actor/envs/env_backend.h"
#include "actor/envs/env_host.h"

/* Takes over backend_kind, which is closed on failure too. ERR_SPEC for an unsound spec, ERR_NOMEM.
 */
int env_kind_make(const EnvBackend *backend, void *backend_kind, const Spec *spec, EnvKind **kind,
                  Err *err);

#endif
