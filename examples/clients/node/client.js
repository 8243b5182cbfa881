// A client in Node.js on the proto files alone: upload, submit, watch, report, labels.
//
//     npm ci
//     node client.js 127.0.0.1:50051 ../../soil_field.csv labels.csv
//
// KMEANS_TOKEN is the token of a service that asks for one. KMEANS_TLS_CA is the file of the authority that signed
// the service's certificate: without it the connection is in plain text, which a token must not travel in.
"use strict";

const { randomUUID } = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { setTimeout: pause } = require("node:timers/promises");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");
const protobuf = require("protobufjs");

const PROTOS = path.join(__dirname, "..", "..", "..", "protos");
const CHUNK_BYTES = 1 << 20;
// A watch that takes longer is resumed, too.
const [CALL_SECONDS, TRANSFER_SECONDS, WATCH_SECONDS] = [30, 600, 600];
const MAX_RESUMES = 5;
const PASSING = [
  grpc.status.UNAVAILABLE,
  grpc.status.RESOURCE_EXHAUSTED,
  grpc.status.DEADLINE_EXCEEDED,
  // What reaches a gateway in the moment in which it stops; nothing here cancels a call itself.
  grpc.status.CANCELLED,
];
const ENDED = ["JOB_STATE_SUCCEEDED", "JOB_STATE_FAILED", "JOB_STATE_CANCELLED"];

// int64 as text: a JavaScript number holds 53 bits of it.
const definitions = protoLoader.loadSync(
  ["kmeans/v1/dataset_service.proto", "kmeans/v1/job_service.proto"],
  { includeDirs: [PROTOS], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true },
);
const { DatasetService, JobService } = grpc.loadPackageDefinition(definitions).kmeans.v1;

// What google.rpc says of an error, as far as it is read here.
const rpc = protobuf.parse(`
  syntax = "proto3";
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
`).root;

// The reason for programs, e.g. DATASET_NOT_FOUND; the code's name where the service gave none.
function reasonOf(error) {
  const [status] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const details = status === undefined ? [] : rpc.lookupType("Status").decode(status).details;
  const info = details.find((detail) => detail.typeUrl.endsWith("/google.rpc.ErrorInfo"));
  return info === undefined ? grpc.status[error.code] : rpc.lookupType("ErrorInfo").decode(info.value).reason;
}

// What goes with every call: who calls, and its deadline.
function within(seconds) {
  const metadata = new grpc.Metadata();
  if (process.env.KMEANS_TOKEN) {
    metadata.set("authorization", `Bearer ${process.env.KMEANS_TOKEN}`);
  }
  return [metadata, { deadline: Date.now() + seconds * 1000 }];
}

// TLS where KMEANS_TLS_CA says whom to trust.
const credentials = process.env.KMEANS_TLS_CA
  ? grpc.credentials.createSsl(fs.readFileSync(process.env.KMEANS_TLS_CA))
  : grpc.credentials.createInsecure();

const once = (client, method, request) =>
  new Promise((resolve, reject) => {
    const done = (error, answer) => (error ? reject(error) : resolve(answer));
    client[method](request, ...within(CALL_SECONDS), done);
  });

function upload(datasets, table) {
  return new Promise((resolve, reject) => {
    const file = fs.createReadStream(table, { highWaterMark: CHUNK_BYTES });
    const done = (error, dataset) => {
      file.destroy();
      return error ? reject(error) : resolve(dataset);
    };
    const call = datasets.UploadDataset(...within(TRANSFER_SECONDS), done);
    // With a request_id the same upload may be sent again after a broken connection.
    call.write({ header: { display_name: path.basename(table), request_id: randomUUID() } });
    file.on("error", (error) => {
      call.cancel();
      reject(error);
    });
    file.on("data", (chunk) => {
      // Wait for the network rather than fill the memory.
      if (!call.write({ chunk })) {
        file.pause();
        call.once("drain", () => file.resume());
      }
    });
    file.on("end", () => call.end());
  });
}

// The job whenever it changes, until it has ended; a watch that breaks is resumed where it was.
async function* watch(jobs, name) {
  for (let revision = "0", resumes = 0; ; ) {
    try {
      const request = { name, job_only: true, after_revision: revision };
      for await (const { job } of jobs.WatchJob(request, ...within(WATCH_SECONDS))) {
        ({ revision } = job);
        resumes = 0;
        yield job;
        if (ENDED.includes(job.state)) {
          return;
        }
      }
    } catch (error) {
      if (!PASSING.includes(error.code) || resumes >= MAX_RESUMES) {
        throw error;
      }
      console.log(`The watch broke (${reasonOf(error)}), and goes on after revision ${revision}.`);
    }
    // Also where it ended too early: a gateway that stops sends its watchers away.
    resumes += 1;
    await pause(200 * 2 ** resumes);
  }
}

async function main(target, table, labels) {
  const datasets = new DatasetService(target, credentials);
  const jobs = new JobService(target, credentials);

  const dataset = await upload(datasets, table);
  console.log(`${dataset.name}: ${dataset.row_count} rows, ${dataset.columns.length} columns`);

  const spec = { dataset: dataset.name, max_k: 4, n_experiments: 2 };
  const created = await once(jobs, "CreateJob", { spec, request_id: randomUUID() });
  let { job } = created;
  console.log(`${job.name}: ${created.planned_task_count} tasks`);

  for await (const step of watch(jobs, job.name)) {
    job = step;
    const { done, degenerate, total } = job.task_counts;
    console.log(`${job.state} ${done + degenerate}/${total}`);
  }
  if (job.state !== "JOB_STATE_SUCCEEDED") {
    throw new Error(`The job did not succeed. ${job.failure}`);
  }

  const { best } = await once(jobs, "GetReport", { name: job.name });
  console.log(`Best: K = ${best.k}, ${best.covariance}, BIC ${best.result.bic.toFixed(1)}, ${best.task}`);

  const file = fs.openSync(labels, "w");
  for await (const part of jobs.ExportLabels({ name: best.task }, ...within(TRANSFER_SECONDS))) {
    fs.writeSync(file, part.chunk);
  }
  fs.closeSync(file);
  console.log(`Labels are in ${labels}`);
  datasets.close();
  jobs.close();
}

if (process.argv.length !== 5) {
  console.error("usage: client.js HOST:PORT TABLE LABELS.csv");
  process.exit(2);
}
main(...process.argv.slice(2)).catch((error) => {
  const isOfTheService = error.metadata !== undefined;
  console.error(isOfTheService ? `${grpc.status[error.code]} ${reasonOf(error)}: ${error.details}` : error.message);
  process.exit(1);
});
