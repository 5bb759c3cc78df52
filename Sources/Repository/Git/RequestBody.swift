/// The body of a client's request, as git shall read it.
package protocol RequestBody: AnyObject, Sendable {
    /// Reads the next bytes; blocks for at least one.
    ///
    /// - Returns: 0 at the body's proper end.
    /// - Throws: when it does not end properly; what came before is not to be relied on then.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int

    /// Makes a blocked read, and every later one, fail.
    func cancel()

    /// A descriptor that hangs up when the client goes away; to be polled only once the body was
    /// read to its end. nil where nothing tells.
    var hangupDescriptor: Int32? { get }
}
