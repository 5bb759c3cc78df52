extension Array where Element == UInt8 {
    /// `withUnsafeBytes` that keeps the error's type, which the standard library's does not.
    package func withBytes<Value, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        let result = withUnsafeBytes { buffer in
            Result { () throws(Failure) in try body(buffer) }
        }
        return try result.get()
    }

    /// `withUnsafeMutableBytes` that keeps the error's type.
    package mutating func withMutableBytes<Value, Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        let result = withUnsafeMutableBytes { buffer in
            Result { () throws(Failure) in try body(buffer) }
        }
        return try result.get()
    }
}
