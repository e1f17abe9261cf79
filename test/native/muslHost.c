// Loads the addon for musl as Node on Alpine does, and answers its calls: every Node-API function fails. What can go wrong
// before the first call does so here: a missing symbol, the C library's version, static initialisers.
//
//   muslHost napier.musl.node
#include <dlfcn.h>
#include <stdio.h>

#define FUNCTION(name) int name(void) { return 9; } // napi_generic_failure
#include "functions.inc"

int main(int count, char** arguments) {
  void* addon = count == 2 ? dlopen(arguments[1], RTLD_NOW) : NULL;
  if (!addon) return printf("%s\n", dlerror()), 1;
  void* (*start)(void*, void*) = (void* (*)(void*, void*))dlsym(addon, "napi_register_module_v1");
  int (*version)(void) = (int (*)(void))dlsym(addon, "node_api_module_get_api_version_v1");
  if (!start || !version) return printf("%s\n", dlerror()), 1;
  printf("Node-API %d\n", version());
  return 0;
}
