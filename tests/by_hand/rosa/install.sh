#!/bin/sh
oc apply -f .
