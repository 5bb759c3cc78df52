import Glibc
import ObjectStore
import Posix
import TestSupport

// A process that races others for a file store, to be killed at any moment.
//
//     FileStoreRacer count <location> <name> <steps>   add 1 to a counter by compare-and-swap
//     FileStoreRacer create <location> <name> <count>  create <name>-0, <name>-1, …
//     FileStoreRacer churn <location> <name>           replace until killed
//     FileStoreRacer limited <location> <name> <bytes> write in every way, with files limited to that
//     FileStoreRacer supervise                         start what a test starts, until killed
//
// Each line of the output is a write that has been reported as successful.

func say(_ line: some CustomStringConvertible, to descriptor: Int32 = 1) {
    do {
        try writeAll(descriptor, Array("\(line)\n".utf8))
    } catch {
        // Nobody reads the output anymore.
        exit(3)
    }
}

func fail(_ sentence: String) -> Never {
    say(sentence, to: 2)
    exit(2)
}

func put(
    _ store: FileStore, _ text: String, _ key: ObjectKey, _ condition: PutCondition
) -> StoreAnswer {
    let request = StoreRequest.put(.bytes(Array(text.utf8)), at: key, condition)
    switch store.perform([request]).first {
    case .success(let answer): return answer
    case .failure(let error): fail("\(error)")
    case nil: fail("no result")
    }
}

func current(_ store: FileStore, _ key: ObjectKey) throws(StoreError) -> (text: String, etag: ETag)
{
    guard let object = try store.get(key, limit: 1 << 20), let etag = object.etag else {
        fail("nothing at \(key)")
    }
    return (String(decoding: object.bytes, as: UTF8.self), etag)
}

/// Starts a service and creates temporary directories, as a test process does, and waits.
func supervise() throws -> Never {
    let directories = [try TemporaryDirectory(), try TemporaryDirectory(in: "/tmp")]
    let service = try Service(
        "/bin/sleep", ["1000"], environment: [:], log: directories[0].path + "/log")
    say("\(service.identifier) \(directories.map(\.path).joined(separator: " "))")
    while true { pause() }
}

let arguments = CommandLine.arguments
if arguments.dropFirst() == ["supervise"] { try supervise() }
guard arguments.count >= 4 else { fail("usage: FileStoreRacer count|create|churn …") }
let number = arguments.count > 4 ? Int(arguments[4]) ?? 0 : 0
do {
    let store = try FileStore(location: arguments[2])
    let key = ObjectKey.probe(run: "racer", name: arguments[3])
    switch arguments[1] {
    case "count":
        var won = 0
        while won < number {
            let (text, etag) = try current(store, key)
            guard let value = Int(text) else { fail("'\(text)' is no number") }
            if case .stored = put(store, "\(value + 1)", key, .ifMatch(etag)) {
                won += 1
                say(value + 1)
            }
        }
    case "create":
        for index in 0..<number {
            let key = ObjectKey.probe(run: "racer", name: "\(arguments[3])-\(index)")
            if case .stored = put(store, "\(getpid())", key, .ifAbsent) { say(index) }
        }
    case "churn":
        // Complete or not: every state is one character, repeated as often as its number says.
        while true {
            let (text, etag) = try current(store, key)
            guard
                let next = text.utf8.split(separator: UInt8(ascii: " ")).first.flatMap({
                    Int(String(decoding: $0, as: UTF8.self))
                }).map({ $0 + 1 })
            else { fail("'\(text.prefix(20))' has no number") }
            let body = "\(next) " + String(repeating: "x", count: next * 97 % 5000)
            if case .stored = put(store, body, key, .ifMatch(etag)) { say(next) }
        }
    case "limited":
        // Simulates a full disk: a write(2) that stops half-way.
        signal(SIGXFSZ, SIG_IGN)
        var limit = rlimit(rlim_cur: rlim_t(number), rlim_max: rlim_t(number))
        setrlimit(__rlimit_resource_t(1), &limit)  // RLIMIT_FSIZE
        let (_, etag) = try current(store, key)
        let large = ObjectBody.bytes([UInt8](repeating: 1, count: number * 2))
        let fresh = ObjectKey.probe(run: "racer", name: arguments[3] + "-fresh")
        let results = store.perform([
            .put(large, at: key, .ifMatch(etag)), .put(large, at: key, .always),
            .put(large, at: fresh, .ifAbsent),
        ])
        for case .failure(let error) in results { say(error) }
    default: fail("unknown mode \(arguments[1])")
    }
} catch {
    fail("\(error)")
}
