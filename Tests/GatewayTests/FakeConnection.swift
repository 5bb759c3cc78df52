import Posix
import Synchronization

@testable import Gateway

/// A connection in memory: what a request brings, and what is answered.
final class FakeConnection: Connection {
    private struct State {
        var chunks: [[UInt8]]
        var output: [UInt8] = []
        var writes = 0
        var isCancelled = false
        var readingTime: Duration?
    }

    private let state: Mutex<State>
    /// What reading ends with.
    private let end: RequestError?
    /// Which writes fail, from 0.
    private let failing: @Sendable (Int) -> Bool

    /// - Parameter chunks: what one read gives at most, each.
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
    /// Whether everything that came was read.
    var isDrained: Bool { state.withLock { $0.chunks.isEmpty } }

    /// The status of the answer; nil: there is no answer.
    var status: Int? {
        if output.isEmpty { return nil }
        let line = text.split(separator: "\r\n").first { $0.hasPrefix("Status: ") }
        guard let line else { return 200 }
        return Int(line.dropFirst(8).prefix(3))
    }

    /// The answer behind its head.
    var body: [UInt8] {
        let mark = Array("\r\n\r\n".utf8)
        let output = output
        let start = output.indices.first { output[$0...].starts(with: mark) }
        return start.map { Array(output[($0 + 4)...]) } ?? []
    }

    var hangupDescriptor: Int32? { nil }
    /// How long reading may go on, where it is limited.
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
