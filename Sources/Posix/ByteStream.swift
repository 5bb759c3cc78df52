/// Bytes that arrive over time, such as the body of a client's request.
package protocol ByteStream: AnyObject, Sendable {
    /// Reads the next bytes; blocks until there is at least one.
    ///
    /// - Returns: 0 at the proper end.
    /// - Throws: if the stream does not end properly; bytes read before must not be relied on then.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int

    /// Makes a blocked read, and every later one, fail.
    func cancel()

    /// A descriptor that hangs up when the sender goes away; nil if nothing reports it. Poll it only
    /// after the stream was read to its end.
    var hangupDescriptor: Int32? { get }
}
