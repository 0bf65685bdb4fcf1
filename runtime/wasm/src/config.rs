//! The one configuration that the compiler and the runtime share: a compiled module records it,
//! and loads nowhere else.

use wasmtime::{Config, InstanceAllocationStrategy, ModuleVersionStrategy};
use wasmtime::{Enabled, PoolingAllocationConfig, Result};

/// Raise it with any change to [`engine_config`]: compiled modules of before are made again.
pub(crate) const CONFIG: &str = "pilotlight-1+wasmtime-48.0.8";

/// Elements of a table, at most.
pub(crate) const TABLE_ELEMENTS: usize = 10_000;
/// Tables and memories of an instance, at most.
pub(crate) const TABLES: usize = 4;
/// Bytes of stack that a module may use.
const STACK: usize = 512 << 10;

/// What every compiled module assumes: 64-bit hosts, guard pages instead of bounds checks,
/// interruption by epoch.
pub(crate) fn engine_config() -> Result<Config> {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(STACK)
        .memory_reservation(4 << 30)
        .memory_guard_size(32 << 20)
        .memory_init_cow(true)
        .native_unwind_info(false)
        .generate_address_map(false)
        .wasm_simd(true)
        .wasm_bulk_memory(true)
        .wasm_multi_value(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .module_version(ModuleVersionStrategy::Custom(CONFIG.to_owned()))?;
    config.async_stack_size(2 * STACK);
    Ok(config)
}

/// For instances that live long: each has its own mapping, any number fits.
pub(crate) fn lasting() -> Result<Config> {
    let mut config = engine_config()?;
    without_compiler(&mut config);
    Ok(config)
}

/// For an instance a stream: slots that are cleaned and used again. `slots` bounds how many live
/// at once; further ones come from [`lasting`].
pub(crate) fn fleeting(slots: u32, memory: usize) -> Result<Config> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(slots)
        .total_memories(slots)
        .total_tables(slots)
        .total_stacks(slots)
        .max_memory_size(memory)
        .table_elements(TABLE_ELEMENTS)
        .max_tables_per_module(1)
        .max_unused_warm_slots(8)
        .linear_memory_keep_resident(64 << 10)
        .table_keep_resident(4 << 10)
        .pagemap_scan(Enabled::No);
    let mut config = engine_config()?;
    without_compiler(&mut config);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Ok(config)
}

fn without_compiler(config: &mut Config) {
    #[cfg(feature = "compile")]
    config.enable_compiler(false);
    #[cfg(not(feature = "compile"))]
    let _ = config;
}
