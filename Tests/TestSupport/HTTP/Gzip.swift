/// Compresses bytes with the real gzip.
package func gzip(_ bytes: [UInt8]) throws -> [UInt8] {
    let program = try Programs.find("gzip", remedy: "apt install gzip")
    return try Command(program, ["-c", "-n", "-9"], input: .bytes(bytes)).run().checked().output
}
