/* What a host of LuaJIT does for each call of a script, in one step where the C API takes many. */

#define LUA_CORE

#include "lj_obj.h"
#include "lj_gc.h"
#include "lj_state.h"
#include "lj_str.h"
#include "lj_tab.h"

/* Pushes what the registry holds at a place. */
void pl_push_kept(lua_State *L, int place)
{
  cTValue *kept = lj_tab_getint(tabV(registry(L)), place);
  if (kept) {
    copyTV(L, L->top, kept);
  } else {
    setnilV(L->top);
  }
  incr_top(L);
}

/* Pushes a copy of the table that it holds there, and of nothing in it. LuaJIT's own looks at each key
** and value, which those of a table that is no template of its compiler do not need.
*/
void pl_push_copy_of(lua_State *L, int place)
{
  GCtab *kept = tabV(lj_tab_getint(tabV(registry(L)), place)), *copy;
  uint32_t hmask = kept->hmask;
  lj_gc_check(L);
  copy = lj_tab_new(L, kept->asize, hmask ? lj_fls(hmask) + 1 : 0);
  setgcrefr(copy->metatable, kept->metatable);
  copy->nomm = kept->nomm;
  if (kept->asize) memcpy(tvref(copy->array), tvref(kept->array), kept->asize * sizeof(TValue));
  if (hmask) {
    Node *from = noderef(kept->node), *to = noderef(copy->node), *node;
    ptrdiff_t way = (char *)to - (char *)from;
    memcpy(to, from, (hmask + 1) * sizeof(Node));
    setfreetop(copy, to, (Node *)((char *)getfreetop(kept, from) + way));
    for (node = from; node <= from + hmask; node++) { /* not of the copy: what was just written is waited for */
      Node *next = nextnode(node);
      if (next) setmref(((Node *)((char *)node + way))->next, (Node *)((char *)next + way));
    }
  }
  settabV(L, L->top, copy);
  incr_top(L);
}

/* Pops a value into the registry. */
void pl_keep(lua_State *L, int place)
{
  GCtab *registry = tabV(registry(L));
  TValue *kept = lj_tab_setint(L, registry, place);
  copyTV(L, kept, L->top - 1);
  L->top--;
  lj_gc_anybarriert(L, registry);
}

/* Holds nothing at a place of the registry any more, which stays one. */
void pl_vacate(lua_State *L, int place)
{
  setboolV(lj_tab_setint(L, tabV(registry(L)), place), 0);
}

/* The first value of one kept table becomes another kept value. */
void pl_show(lua_State *L, int table, int place)
{
  GCtab *into = tabV(lj_tab_getint(tabV(registry(L)), table));
  TValue *first = lj_tab_setint(L, into, 1);
  copyTV(L, first, lj_tab_getint(tabV(registry(L)), place));
  lj_gc_anybarriert(L, into);
}

/* In the table on top, a key gets a text, if it has nothing yet. */
int pl_put_text(lua_State *L, const char *key, size_t key_len, const char *text, size_t len)
{
  GCtab *table = tabV(L->top - 1);
  GCstr *name = lj_str_new(L, key, key_len), *value;
  TValue *slot = lj_tab_setstr(L, table, name);
  if (!tvisnil(slot)) return 0;
  value = lj_str_new(L, text, len);
  setstrV(L, slot, value);
  table->nomm = 0; /* The key may name a metamethod. */
  lj_gc_anybarriert(L, table);
  return 1;
}
