import CSystem

/// This process's memory.
package enum Memory {
    /// Returns free memory to the system; the allocator keeps much of it after large values were
    /// dropped. Takes time in proportion to the memory in use. malloc_trim(3).
    package static func giveBack() {
        gs3_trim_memory()
    }
}
