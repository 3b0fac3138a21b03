/* GCC calls this at the beginning of each function under -finstrument-functions; hidden, as glibc has one too. */
#ifdef __cplusplus
extern "C"
#endif
__attribute__((weak, visibility("hidden"), no_instrument_function)) void __cyg_profile_func_enter(void *self, void *caller) {
    (void)self;
    (void)caller;
    __builtin_trap();
}
