// A plugin of qemu 7 and newer: counts the instructions that an emulated aarch64 program executes, by function.
//
//     gcc -O2 -shared -fPIC -o libcount.so count.c
//     EDGEVC_COUNTS=counts.txt qemu-aarch64 -plugin file=./libcount.so PROGRAM
//
// Writes a line for each function that has a symbol, and one for all others together ("-"): instructions, of them
// vector and floating-point arithmetic, of them dot products (sdot, udot), the name. A block of code is counted where
// it begins, so an instruction is never counted under a name that it does not belong to.
//
// Debian has no header of qemu's plugins: what is used is declared here, as docs/devel/tcg-plugins of qemu 7.2 has it.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;

__attribute__((visibility("default"))) int qemu_plugin_version = 1;
extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb*));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb*);
extern struct qemu_plugin_insn* qemu_plugin_tb_get_insn(const struct qemu_plugin_tb*, size_t);
extern const void* qemu_plugin_insn_data(const struct qemu_plugin_insn*);
extern const char* qemu_plugin_insn_symbol(const struct qemu_plugin_insn*);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb*, int, void*, uint64_t);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void*), void*);

enum { kAll, kVector, kDot, kKinds };

// One translated block; the first number grows each time it runs.
struct Block {
  uint64_t runs;
  uint64_t instructions[kKinds];
  const char* symbol;
  struct Block* next;
};
static struct Block* blocks;

static int IsVector(uint32_t word) { return ((word >> 25) & 7) == 7; }

static int IsDot(uint32_t word) {
  return (word & 0x9f20fc00) == 0x0e009400 || (word & 0xbf00f400) == 0x0f00e000 || (word & 0xbf00f400) == 0x2f00e000;
}

static void Translate(qemu_plugin_id_t id, struct qemu_plugin_tb* tb) {
  struct Block* block = calloc(1, sizeof *block);
  const size_t n = qemu_plugin_tb_n_insns(tb);
  (void)id;
  for (size_t i = 0; i < n; ++i) {
    struct qemu_plugin_insn* insn = qemu_plugin_tb_get_insn(tb, i);
    uint32_t word;
    memcpy(&word, qemu_plugin_insn_data(insn), sizeof word);
    if (i == 0) block->symbol = qemu_plugin_insn_symbol(insn);
    ++block->instructions[kAll];
    if (IsVector(word)) ++block->instructions[kVector];
    if (IsVector(word) && IsDot(word)) ++block->instructions[kDot];
  }
  if (block->symbol == NULL) block->symbol = "-";
  block->symbol = strdup(block->symbol);
  block->next = blocks;
  blocks = block;
  qemu_plugin_register_vcpu_tb_exec_inline(tb, 0, &block->runs, 1);
}

static int BySymbol(const void* a, const void* b) {
  return strcmp((*(struct Block* const*)a)->symbol, (*(struct Block* const*)b)->symbol);
}

static void End(qemu_plugin_id_t id, void* data) {
  const char* path = getenv("EDGEVC_COUNTS");
  FILE* out = path != NULL ? fopen(path, "w") : stderr;
  size_t n = 0, i = 0;
  (void)id;
  (void)data;
  if (out == NULL) {
    perror(path);
    _Exit(1);
  }
  for (struct Block* block = blocks; block != NULL; block = block->next) ++n;
  struct Block** all = calloc(n, sizeof *all);
  for (struct Block* block = blocks; block != NULL; block = block->next) all[i++] = block;
  qsort(all, n, sizeof *all, BySymbol);
  for (i = 0; i < n;) {
    uint64_t sums[kKinds] = {0};
    const char* symbol = all[i]->symbol;
    for (; i < n && strcmp(all[i]->symbol, symbol) == 0; ++i) {
      for (int kind = 0; kind < kKinds; ++kind) sums[kind] += all[i]->runs * all[i]->instructions[kind];
    }
    fprintf(out, "%llu %llu %llu %s\n", (unsigned long long)sums[kAll], (unsigned long long)sums[kVector],
            (unsigned long long)sums[kDot], symbol);
  }
  if (path != NULL) fclose(out);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t* info, int argc,
                                                               char** argv) {
  (void)info;
  (void)argc;
  (void)argv;
  qemu_plugin_register_vcpu_tb_trans_cb(id, Translate);
  qemu_plugin_register_atexit_cb(id, End, NULL);
  return 0;
}
