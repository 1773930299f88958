/* A library in several builds: FIRST and SECOND are what its functions give; with LONGER its file has another length, but the same code at the same places. */
int foo_old(void) { return FIRST; }
#ifdef SECOND
int foo_new(void) { return SECOND; }
#endif
#ifdef LONGER
__asm__(".pushsection .longer,\"\",%progbits\n.skip 4096\n.popsection");
#endif
