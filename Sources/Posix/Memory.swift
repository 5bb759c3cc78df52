import CSystem

/// This process's memory.
package enum Memory {
    /// Returns free memory to the system, of which the allocator keeps much after large values were
    /// dropped. Takes time in proportion to what is in use. malloc_trim(3).
    package static func giveBack() {
        gs3_trim_memory()
    }
}
