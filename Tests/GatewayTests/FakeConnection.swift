import Posix
import Synchronization

@testable import Gateway

/// A connection in memory: the request's body, and the answer.
final class FakeConnection: Connection {
    private struct State {
        var chunks: [[UInt8]]
        var output: [UInt8] = []
        var writes = 0
        var isCancelled = false
        var readingTime: Duration?
    }

    private let state: Mutex<State>
    /// The error with which reading ends.
    private let end: RequestError?
    /// Which writes fail, counted from 0.
    private let failing: @Sendable (Int) -> Bool

    /// - Parameter chunks: each is the most that one read returns.
    init(
        _ chunks: [[UInt8]] = [], end: RequestError? = nil,
        failing: @escaping @Sendable (Int) -> Bool = { _ in false }
    ) {
        state = Mutex(State(chunks: chunks.filter { !$0.isEmpty }))
        self.end = end
        self.failing = failing
    }

    var output: [UInt8] { state.withLock { $0.output } }
    var text: String { String(decoding: output, as: UTF8.self) }
    var writes: Int { state.withLock { $0.writes } }
    /// Whether the whole body was read.
    var isDrained: Bool { state.withLock { $0.chunks.isEmpty } }

    /// The status of the answer; nil if there is no answer.
    var status: Int? {
        if output.isEmpty { return nil }
        let line = text.split(separator: "\r\n").first { $0.hasPrefix("Status: ") }
        guard let line else { return 200 }
        return Int(line.dropFirst(8).prefix(3))
    }

    /// The body of the answer.
    var body: [UInt8] {
        let mark = Array("\r\n\r\n".utf8)
        let output = output
        let start = output.indices.first { output[$0...].starts(with: mark) }
        return start.map { Array(output[($0 + 4)...]) } ?? []
    }

    var hangupDescriptor: Int32? { nil }
    /// The time limit for reading; nil if there is none.
    var readingTime: Duration? { state.withLock { $0.readingTime } }
    func endReading(after time: Duration) { state.withLock { $0.readingTime = time } }
    func allow(_ patience: BodyPatience) {}
    func cancel() { state.withLock { $0.isCancelled = true } }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws(RequestError) -> Int {
        let taken: [UInt8] = state.withLock { state in
            guard let first = state.chunks.first else { return [] }
            let taken = Array(first.prefix(buffer.count))
            state.chunks[0].removeFirst(taken.count)
            if state.chunks[0].isEmpty { state.chunks.removeFirst() }
            return taken
        }
        if taken.isEmpty, let end { throw end }
        buffer.copyBytes(from: taken)
        return taken.count
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws(RequestError) {
        let fails = state.withLock { state in
            defer { state.writes += 1 }
            if failing(state.writes) { return true }
            state.output += bytes
            return false
        }
        if fails { throw .disconnected }
    }
}

extension Request {
    /// A request with some variables.
    static func with(_ variables: [String: String]) -> Request {
        Request(variables: variables, identifier: "id")
    }
}
